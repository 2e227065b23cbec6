"""A run's messages: whose they are, what they may be, and that the same again is the same."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests import shielding
from tests.operations.messaging import SECRET, TOKEN, TYPE, audited, enabled, stored
from tests.stage import ME, RELEASE, SERVICE
from zekt_bot.db.tables import envelopes, refused_messages
from zekt_bot.db.tables import messages as rows
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.messages import MOST_BYTES_OF_A_RUN, Redaction
from zekt_bot.errors import (
    Conflict,
    InvalidInput,
    MessageRefused,
    MessageTooLarge,
)
from zekt_bot.operations import (
    message_lists,
    messages,
    services,
    subscriptions,
)
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from tests.stage import Stage


async def test_the_same_again_answers_as_before(stage: Stage) -> None:
    run = await enabled(stage)

    async def send(body: bytes, event_type: str = TYPE) -> messages.Stored:
        return await messages.store(stage.broker, run, event_type, body)

    first, *again = await asyncio.gather(*(send(SECRET) for _ in range(20)))
    assert [each.duplicate for each in (first, *again)].count(False) == 1
    assert {each.message_id for each in again} == {first.message_id}
    assert {each.event_id for each in again} == {first.event_id}
    others = [await send(SECRET + b" "), await send(SECRET, "another-type")]
    assert [other.duplicate for other in others] == [False, False]
    assert {other.correlation_id for other in others} == {first.correlation_id}
    assert len(await stored(stage)) == 3


async def test_a_message_lies_sealed(stage: Stage) -> None:
    run = await enabled(stage)
    made = await messages.store(stage.broker, run, TYPE, SECRET)
    (body,) = await stored(stage)
    assert b"nobody but the consumer" not in body
    place = ("messages", "body", made.message_id)
    assert stage.broker.database.keyring.open(place, body) == SECRET


async def test_a_run_sends_fifty_messages_at_most(stage: Stage) -> None:
    run = await enabled(stage)
    for number in range(50):
        await messages.store(stage.broker, run, TYPE, b"%d" % number)
    with pytest.raises(MessageRefused, match="at most 50 messages"):
        await messages.store(stage.broker, run, TYPE, b"50")
    assert (await messages.store(stage.broker, run, TYPE, b"7")).duplicate
    other = WorkflowRun(run.key._replace(run_attempt=2), RELEASE)
    assert not (await messages.store(stage.broker, other, TYPE, b"50")).duplicate


async def test_many_at_once_are_no_more_than_fifty(stage: Stage) -> None:
    run = await enabled(stage)
    sending = (messages.store(stage.broker, run, TYPE, b"%d" % number) for number in range(60))
    answers = await asyncio.gather(*sending, return_exceptions=True)
    assert [type(each) for each in answers].count(MessageRefused) == 10
    assert len(await stored(stage)) == 50


async def test_a_run_sends_five_megabytes_at_most(stage: Stage) -> None:
    run = await enabled(stage)
    size = 524_288
    for number in range(MOST_BYTES_OF_A_RUN // size):
        body = b'"' + str(number).encode().ljust(size - 2, b"x") + b'"'
        await messages.store(stage.broker, run, TYPE, body)
    with pytest.raises(MessageRefused, match="5242880 bytes"):
        await messages.store(stage.broker, run, TYPE, b"1")


async def test_a_service_may_take_one_message_of_each_type(stage: Stage) -> None:
    await stage.publish("*")
    await services.edit(stage.broker, ME, SERVICE, {"one_per_type": True})
    run = WorkflowRun(RunKey(stage.provider.id, 7, 1), RELEASE)
    await messages.store(stage.broker, run, TYPE, SECRET)
    assert (await messages.store(stage.broker, run, TYPE, SECRET)).duplicate
    with pytest.raises(Conflict, match="one of each"):
        await messages.store(stage.broker, run, TYPE, b"{}")
    await messages.store(stage.broker, run, "another", b"{}")
    assert [row["reason"] for row in await stage.rows(refused_messages)] == ["one_per_type"]


async def test_who_gets_it_is_told(stage: Stage) -> None:
    run = await enabled(stage)

    async def told(event_type: str = "released", body: bytes = b"{}") -> tuple[int, str]:
        made = await messages.store(stage.broker, run, event_type, body)
        return made.consumers, made.said

    assert (await told())[0] == 0
    assert "no service publishes" in (await told())[1]
    await stage.publish("released")
    assert "does not declare" in (await told("other"))[1]
    assert "No approved subscription" in (await told())[1]
    await stage.subscribe(approve=False)
    assert (await told())[0] == 0
    ends = Ends(SERVICE, stage.consumer.full_name)
    await subscriptions.approve(stage.broker, ME, ends)
    assert await told() == (1, "Stored. It goes to 1 consumer when its run has ended.")
    await subscriptions.pause(stage.broker, ME, ends)
    assert (await told())[0] == 0


async def test_who_has_not_consented_at_github_is_not_counted(stage: Stage) -> None:
    await stage.serve("released")
    run = await stage.finish_run("build")
    assert (await stage.post(run)).consumers == 1
    await stage.github.suspend(stage.consuming)
    await stage.listen()
    assert (await stage.post(run)).consumers == 0
    await stage.github.unsuspend(stage.consuming)
    await stage.listen()
    assert (await stage.post(run)).consumers == 1


async def test_of_an_encrypted_message_only_its_readers_are_counted(stage: Stage) -> None:
    held = await stage.serve("released", "other")
    run = await stage.finish_run("build")
    key = shielding.private_key()

    async def told(*names: str, event_type: str = "released") -> tuple[int, int]:
        body = shielding.of_version_2(SECRET, dict.fromkeys(names, key))
        made = await stage.post(run, body, event_type)
        assert made.said.startswith("Stored.")
        assert ("zekt shield keys add" in made.said) is bool(made.left_out)
        return made.consumers, made.left_out

    assert await told("sub_of_another") == (0, 1)
    assert await told("sub_\0", "sub_" + "0" * 26) == (0, 1)
    assert await told(held.id, "sub_of_another") == (1, 0)
    another = stage.github.repository(stage.consumer.owner, "another")
    second = await stage.subscribe(another)
    assert await told(held.id) == (1, 1)
    assert await told(held.id, second.id) == (2, 0)
    assert await told(held.id, event_type="unheard") == (0, 0)
    clear = await stage.post(run, b"{}")
    assert (clear.consumers, clear.left_out) == (2, 0)


async def test_a_message_of_a_run_that_was_sent_follows_now(stage: Stage) -> None:
    await stage.serve("released")
    run = await stage.finish_run("build")
    await stage.post(run)
    await stage.flow()
    late = await stage.post(run, b'"late"')
    assert (late.consumers, late.said) == (
        1,
        "Stored. It goes to 1 consumer now, after its run.",
    )
    await stage.flow()
    stage.clock.advance(timedelta(hours=24))
    await stage.post(run, b'"a day later"')
    await stage.flow()
    assert sorted(row["kind"] for row in await stage.rows(envelopes)) == [
        *["late_message"] * 2,
        "message",
    ]
    stage.clock.advance(timedelta(seconds=1))
    with pytest.raises(Conflict, match="Zekt was done with this run more than 24 hours ago"):
        await stage.post(run, b'"too late"')
    assert (await stage.post(run, b'"late"')).duplicate
    assert [row["reason"] for row in await stage.rows(refused_messages)] == ["run_is_over"]


async def test_of_a_blocked_run_it_goes_to_nobody(stage: Stage) -> None:
    await stage.serve("released")
    run = await stage.finish_run("build", event="pull_request")
    await stage.flow()
    late = await stage.post(run)
    assert (late.consumers, "run_event_not_allowed" in late.said) == (0, True)
    stage.clock.advance(timedelta(days=2))
    with pytest.raises(Conflict, match="more than 24 hours ago"):
        await stage.post(run, b'"too late"')


@pytest.mark.parametrize(
    ("event_type", "body", "said"),
    [
        (TYPE, b"{", "not JSON"),
        (TYPE, b"", "not JSON"),
        ("", b"{}", "1 to 100"),
        ("x" * 101, b"{}", "1 to 100"),
        ("new\nline", b"{}", "control character"),
    ],
)
async def test_what_a_message_cannot_be_is_said(
    stage: Stage, event_type: str, body: bytes, said: str
) -> None:
    run = await enabled(stage)
    with pytest.raises(InvalidInput, match=said):
        await messages.store(stage.broker, run, event_type, body)
    assert await stored(stage) == []


async def test_a_secret_is_taken_out_before_it_is_stored_and_its_sender_is_told(
    stage: Stage,
) -> None:
    run = await enabled(stage)
    body = f'{{"n": 1.10, "token": "{TOKEN}"}}'.encode()
    sent = [await messages.store(stage.broker, run, TYPE, body) for _ in "ab"]
    assert [each.duplicate for each in sent] == [False, True]
    assert {each.redactions for each in sent} == {(Redaction("/token", "github_token"),)}
    shown = await message_lists.show_message(stage.broker, ME, sent[0].message_id, body=True)
    assert shown["body"] == '{"n": 1.10, "token": "[REDACTED:github_token]"}'
    assert shown["redactions"] == [{"path": "/token", "kind": "github_token"}]
    row = await stage.row(rows)
    assert b"token" not in row["redactions"]
    (entry,) = await audited(stage, "run:message:stored")
    assert entry["details"]["redactions"] == 1


async def test_the_same_again_tells_what_was_done_the_first_time(stage: Stage) -> None:
    await stage.serve("*")
    run = await stage.finish_run("build")
    await stage.listen()
    body = orjson.dumps(TOKEN)
    await services.edit(stage.broker, ME, SERVICE, {"secrets": "keep"})
    assert (await stage.post(run, body)).redactions == ()
    await services.edit(stage.broker, ME, SERVICE, {"secrets": "redact"})
    again = await stage.post(run, body)
    assert (again.duplicate, again.redactions) == (True, ())
    assert len((await stage.post(run, body + b" ")).redactions) == 1


async def test_its_provider_sees_what_became_of_it(stage: Stage) -> None:
    held = await stage.serve("released")
    run = await stage.finish_run("build")
    made = await stage.post(run, b'{"version": 1}')

    async def shown() -> dict[str, Any]:
        return await message_lists.show_message(stage.broker, ME, made.message_id)

    async def listed() -> dict[str, Any]:
        (row,) = await message_lists.list_messages(stage.broker, ME)
        return row

    waiting = await shown()
    assert (waiting["sent_on_at"], waiting["deliveries"], waiting["blocked_reason"]) == (
        None,
        [],
        None,
    )
    await stage.flow()
    (delivery,) = (await shown())["deliveries"]
    assert (delivery["state"], delivery["target"]) == ("dispatched", stage.consumer.full_name)
    assert delivery["cause_id"] == held.id
    assert (await listed())["deliveries"] == 1
    await services.edit(stage.broker, ME, SERVICE, {"event_types": ("another",)})
    made = await stage.post(run, b'{"version": 2}')
    stage.clock.advance(timedelta(seconds=30))
    await stage.flow()
    blocked = await shown()
    assert (blocked["blocked_reason"], blocked["deliveries"]) == ("event_type_not_declared", [])


@pytest.mark.parametrize("body", [b"null", b" 1 ", b"[]", b'"' + b"x" * 524_286 + b'"'])
async def test_any_json_up_to_the_limit_is_a_message(stage: Stage, body: bytes) -> None:
    run = await enabled(stage)
    made = await messages.store(stage.broker, run, TYPE, body)
    assert not made.duplicate


async def test_a_message_has_at_most_512_kilobytes(stage: Stage) -> None:
    run = await enabled(stage)
    with pytest.raises(MessageTooLarge, match="524289 bytes; at most 524288"):
        await messages.store(stage.broker, run, TYPE, b'"' + b"x" * 524_287 + b'"')


async def test_a_message_nests_64_deep_at_most(stage: Stage) -> None:
    run = await enabled(stage)
    await messages.store(stage.broker, run, TYPE, b"[" * 64 + b"]" * 64)
    for depth in (65, 2_000, 260_000):
        with pytest.raises(MessageRefused, match="more than 64"):
            await messages.store(stage.broker, run, TYPE, b"[" * depth + b"]" * depth)
