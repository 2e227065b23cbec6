"""Encrypted messages on their way: unread, and each consumer gets what is for it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests import shielding
from tests.pipeline.sending import posts
from tests.pipeline.test_many_consumers import newcomer
from tests.stage import ME, SERVICE
from zekt_bot.db.tables import audit, deliveries, envelopes, messages
from zekt_bot.errors import InvalidInput, MessageRefused
from zekt_bot.operations import services, shield_keys
from zekt_bot.shield import open_envelope

if TYPE_CHECKING:
    from tests.stage import Stage

CLEAR = b'{"token": "ghp_' + b"a" * 36 + b'"}'
KEYS = [shielding.private_key(number) for number in range(2)]


def payloads(stage: Stage) -> dict[str, Any]:
    """What was sent as the message, by subscription's place: the first recipient's id."""
    sent = [orjson.loads(body)["client_payload"]["zekt"]["payload"] for body in posts(stage)]
    return {each["recipients"][0]["consumerId"]: each for each in sent}


async def test_each_consumer_opens_its_own_and_sees_no_other(stage: Stage) -> None:
    first = await stage.serve("*")
    second = await stage.subscribe(await newcomer(stage, 1))
    for name, key in zip(("kestrel-bank/core-sync", "consumer-1/mirror"), KEYS, strict=True):
        await shield_keys.add(stage.broker, ME, name, shielding.public_pem(key))
    run = await stage.finish_run("build")
    await stage.post(run, shielding.of_version_2(CLEAR, {first.id: KEYS[0], second.id: KEYS[1]}))
    await stage.flow()
    sent = payloads(stage)
    assert set(sent) == {first.id, second.id}
    for held, key in zip((first, second), KEYS, strict=True):
        envelope = sent[held.id]
        assert [each["consumerId"] for each in envelope["recipients"]] == [held.id]
        assert open_envelope(orjson.dumps(envelope), shielding.private_pem(key)) == CLEAR


async def test_whoever_it_is_not_for_gets_nothing(stage: Stage) -> None:
    first = await stage.serve("*")
    second = await stage.subscribe(await newcomer(stage, 1))
    run = await stage.finish_run("build")
    await stage.post(run, shielding.of_version_1(b"1", {first.id: KEYS[0]}))
    await stage.flow()
    assert set(payloads(stage)) == {first.id}
    rows = {row["cause_id"]: row for row in await stage.rows(deliveries)}
    assert (rows[second.id]["state"], rows[second.id]["reason"]) == ("dead", "no_recipient")
    assert rows[first.id]["state"] == "dispatched"


async def test_it_is_stored_as_it_came_and_the_audit_says_that_it_was_encrypted(
    stage: Stage,
) -> None:
    held = await stage.serve("*")
    run = await stage.finish_run("build")
    await stage.listen()
    changes = {"secrets": "refuse", "message_schema": '{"required": ["never"]}', "shield": True}
    await services.edit(stage.broker, ME, SERVICE, changes)
    envelope = shielding.of_version_2(CLEAR, {held.id: KEYS[0]})
    assert (await stage.post(run, envelope)).redactions == ()
    row = await stage.row(messages)
    place = ("messages", "body", row["id"])
    assert stage.broker.database.keyring.open(place, row["body"]) == envelope
    assert row["shield"] == "2.0"
    (entry,) = [r for r in await stage.rows(audit) if r["verb"] == "run:message:stored"]
    assert orjson.loads(entry["details"])["shield"] == "2.0"


async def test_a_service_may_refuse_what_is_in_clear(stage: Stage) -> None:
    held = await stage.serve("*")
    run = await stage.finish_run("build")
    await stage.listen()
    await services.edit(stage.broker, ME, SERVICE, {"shield": True})
    with pytest.raises(MessageRefused, match="not_encrypted"):
        await stage.post(run, b"{}")
    whole = orjson.loads(shielding.of_version_1(b"1", {held.id: KEYS[0]}))
    with pytest.raises(InvalidInput, match="no others"):
        await stage.post(run, orjson.dumps(whole | {"note": "in clear"}))
    assert await stage.rows(messages) == []


@pytest.mark.parametrize("matched", [False, True])
async def test_what_came_in_clear_before_goes_no_more(stage: Stage, matched: bool) -> None:
    held = await stage.serve("*")
    run = await stage.finish_run("build")
    await stage.post(run, b'"in clear"')
    await stage.post(run, shielding.of_version_1(b"1", {held.id: KEYS[0]}))
    await (stage.prepare() if matched else stage.listen())
    await services.edit(stage.broker, ME, SERVICE, {"shield": True})
    await stage.flow()
    assert set(payloads(stage)) == {held.id}
    blocked = [
        (table, row["blocked_reason"])
        for table in (envelopes, deliveries)
        for row in await stage.rows(table)
        if row["blocked_reason"]
    ]
    assert blocked == [(deliveries if matched else envelopes, "not_encrypted")]


async def test_an_envelope_that_is_too_large_is_referred_to_as_each_gets_it(stage: Stage) -> None:
    first = await stage.serve("*")
    run = await stage.finish_run("build")
    recipients = {first.id: KEYS[0], "sub_of_another": KEYS[1]}
    await stage.post(run, shielding.of_version_2(b"x" * 60_000, recipients))
    await stage.flow()
    (body,) = posts(stage)
    told = orjson.loads(body)["client_payload"]["zekt"]
    row = await stage.row(messages)
    assert told["payload"] is None
    assert 80_000 < told["payloadRef"]["bytes"] < row["size"]
