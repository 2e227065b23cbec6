"""A run's messages: whose they are, what they may be, and that the same again is the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import select

from tests.stage import ME, SERVICE
from zekt_bot.db.tables import messages as rows
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.lists import AuditFilter, Page
from zekt_bot.domain.messages import Redaction
from zekt_bot.errors import AccessDenied, InvalidInput, MessageRefused, NotFound
from zekt_bot.operations import audit, messages, repositories, services

if TYPE_CHECKING:
    from tests.stage import Stage

PROVIDER, TYPE = "aurora-labs/payments-api", "release-published"
SECRET = b'{"note": "what nobody but the consumer should read"}'


async def enabled(stage: Stage) -> RunKey:
    """The key of a run of the provider, which is enabled."""
    await repositories.enable(stage.broker, ME, PROVIDER)
    return RunKey(stage.provider.id, 7, 1)


async def stored(stage: Stage) -> list[bytes]:
    """The bodies as they lie in the database."""
    statement = select(rows.c.body)
    return await stage.broker.database.query(lambda c: list(c.execute(statement).scalars()))


async def audited(stage: Stage, verb: str) -> list[dict[str, Any]]:
    """The audit's entries of this verb."""
    return await audit.list_entries(stage.broker, ME, Page(), AuditFilter(verb=verb))


async def test_the_same_again_answers_as_before(stage: Stage) -> None:
    key = await enabled(stage)

    async def send(body: bytes, event_type: str = TYPE) -> messages.Stored:
        return await messages.store(stage.broker, WorkflowRun(key), key, event_type, body)

    first, *again = await asyncio.gather(*(send(SECRET) for _ in range(20)))
    assert [each.duplicate for each in (first, *again)].count(False) == 1
    assert {each.message_id for each in again} == {first.message_id}
    assert {each.event_id for each in again} == {first.event_id}
    others = [await send(SECRET + b" "), await send(SECRET, "another-type")]
    assert [other.duplicate for other in others] == [False, False]
    assert {other.correlation_id for other in others} == {first.correlation_id}
    assert len(await stored(stage)) == 3


async def test_a_message_lies_sealed(stage: Stage) -> None:
    key = await enabled(stage)
    made = await messages.store(stage.broker, WorkflowRun(key), key, TYPE, SECRET)
    (body,) = await stored(stage)
    assert b"nobody but the consumer" not in body
    place = ("messages", "body", made.message_id)
    assert stage.broker.database.keyring.open(place, body) == SECRET


async def test_only_the_run_itself_speaks_for_it(stage: Stage) -> None:
    key = await enabled(stage)
    for other in (key._replace(run_attempt=2), key._replace(run_id=8)):
        with pytest.raises(AccessDenied):
            await messages.store(stage.broker, WorkflowRun(other), key, TYPE, SECRET)
    assert await stored(stage) == []


async def test_a_repository_that_provides_nothing_has_no_messages(stage: Stage) -> None:
    key = RunKey(stage.provider.id, 7, 1)
    with pytest.raises(NotFound, match="zekt repositories enable"):
        await messages.store(stage.broker, WorkflowRun(key), key, TYPE, SECRET)
    assert await stored(stage) == []


@pytest.mark.parametrize(
    ("event_type", "body", "said"),
    [
        (TYPE, b"{", "not JSON"),
        (TYPE, b"", "not JSON"),
        (TYPE, b'"' + b"x" * 524_288 + b'"', "524290 bytes"),
        ("", b"{}", "1 to 100"),
        ("x" * 101, b"{}", "1 to 100"),
        ("new\nline", b"{}", "control character"),
    ],
)
async def test_what_a_message_cannot_be_is_said(
    stage: Stage, event_type: str, body: bytes, said: str
) -> None:
    key = await enabled(stage)
    with pytest.raises(InvalidInput, match=said):
        await messages.store(stage.broker, WorkflowRun(key), key, event_type, body)
    assert await stored(stage) == []


TOKEN = "ghp" + "_" + "aB3" * 12


async def test_a_secret_is_taken_out_before_it_is_stored_and_its_sender_is_told(
    stage: Stage,
) -> None:
    key = await enabled(stage)
    body = f'{{"n": 1.10, "token": "{TOKEN}"}}'.encode()
    sent = [await messages.store(stage.broker, WorkflowRun(key), key, TYPE, body) for _ in "ab"]
    assert [each.duplicate for each in sent] == [False, True]
    assert {each.redactions for each in sent} == {(Redaction("/token", "github_token"),)}
    shown = await messages.show_message(stage.broker, ME, sent[0].message_id, body=True)
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


async def test_a_message_that_is_refused_is_told_to_the_audit(stage: Stage) -> None:
    await stage.serve("*")
    run = await stage.finish_run("build")
    await stage.listen()
    await services.edit(stage.broker, ME, SERVICE, {"secrets": "refuse"})
    with pytest.raises(MessageRefused, match="github_token at the root"):
        await stage.post(run, orjson.dumps(TOKEN))
    (entry,) = await audited(stage, "run:message:refused")
    assert entry["details"] == {"plugin": "guard", "reason": "secret_found"}
    assert entry["repository_id"] == stage.provider.id
    assert await stored(stage) == []


@pytest.mark.parametrize("body", [b"null", b" 1 ", b"[]", b'"' + b"x" * 524_286 + b'"'])
async def test_any_json_up_to_the_limit_is_a_message(stage: Stage, body: bytes) -> None:
    key = await enabled(stage)
    made = await messages.store(stage.broker, WorkflowRun(key), key, TYPE, body)
    assert not made.duplicate
