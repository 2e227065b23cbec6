"""Matching: each subscription hears of an envelope exactly once, or the reason why not stands."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import update

from tests.pipeline.between import aggregated
from tests.stage import ME, RELEASE
from zekt_bot import hookimpl
from zekt_bot.db.tables import (
    audit,
    deliveries,
    envelopes,
    lanes,
    services,
    subscriptions,
)
from zekt_bot.domain.deliveries import Delivery
from zekt_bot.domain.events import Envelope
from zekt_bot.errors import PluginFailed
from zekt_bot.operations import repositories, workflows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Table

    from tests.stage import Stage

LEASE = timedelta(seconds=60)


async def enveloped(stage: Stage, event_type: str | None = None) -> None:
    """A finished run's envelope (of a message of this type) that waits to be matched."""
    run = await stage.finish_run("build")
    if event_type:
        await stage.post(run, event_type=event_type)
    await stage.listen()
    await aggregated(stage)


async def change(stage: Stage, table: Table, **values: Any) -> None:
    """Set `values` in every row of a table, whose version rises."""

    def write(connection: Connection, rows: Sequence[Table]) -> list[None]:
        connection.execute(update(rows[0]).values(version=rows[0].c.version + 1, **values))
        return [None]

    await stage.broker.database.write(write, table)


async def done(stage: Stage, **expected: Any) -> None:
    """Match: the envelope is finished, with no delivery and these values."""
    assert await stage.match() == {}
    assert await stage.rows(deliveries) == []
    row = await stage.row(envelopes)
    values = {"due_at": None, "blocked_reason": None, "filtered": 0, **expected}
    assert {name: row[name] for name in values} == values
    assert await stage.claim("envelopes") == []


async def entries(stage: Stage, verb: str) -> list[dict[str, Any]]:
    rows = [dict(row) for row in await stage.rows(audit) if row["verb"] == verb]
    return [{**row, "details": orjson.loads(row["details"])} for row in rows]


async def test_an_approved_subscription_gets_a_delivery(stage: Stage) -> None:
    held = await stage.serve()
    await enveloped(stage)
    assert await stage.match() == {}
    row, envelope = await stage.row(deliveries), await stage.row(envelopes)
    expected = {
        "envelope": envelope["id"],
        "cause_kind": "subscription",
        "cause_id": held.id,
        "replay_no": 0,
        "target_repository_id": stage.consumer.id,
        "channel": "repository_dispatch",
        "lane": f"github:{stage.consuming.id}",
        "service_id": held.service_id,
        "provider_account_id": stage.provider.owner.id,
        "consumer_account_id": stage.consumer.owner.id,
        "state": "pending",
        "blocked_reason": None,
        "attempts": 0,
        "due_at": stage.clock.now(),
    }
    assert {name: row[name] for name in expected} == expected
    assert envelope["due_at"] is None
    (entry,) = await entries(stage, "zekt:delivery:created")
    assert entry["delivery_id"] == row["id"]
    assert entry["details"] == {"event": envelope["id"], "subscription": held.id}
    assert (await stage.row(lanes))["next_ready_at"] == stage.clock.now()


async def test_what_is_only_requested_is_blocked(stage: Stage) -> None:
    await stage.publish()
    await stage.subscribe(approve=False)
    await enveloped(stage)
    await blocked(stage, "not_approved")


@pytest.mark.parametrize("state", ["revoked", "rejected"])
async def test_what_was_refused_is_blocked(stage: Stage, state: str) -> None:
    await stage.serve()
    await change(stage, subscriptions, state=state)
    await enveloped(stage)
    await blocked(stage, "not_approved")


async def test_a_suspended_consumer_is_blocked(stage: Stage) -> None:
    await stage.serve()
    await stage.github.suspend(stage.consuming)
    await enveloped(stage)
    await blocked(stage, "consent")


async def test_an_archived_consumer_is_blocked(stage: Stage) -> None:
    await stage.serve()
    await stage.github.archive(stage.consumer)
    await enveloped(stage)
    await blocked(stage, "no_access")


async def test_a_consumer_without_the_app_is_blocked(stage: Stage) -> None:
    await stage.serve()
    stage.github.repository(stage.consumer.owner, "another")
    await stage.github.remove_repositories(stage.consuming, stage.consumer)
    await enveloped(stage)
    await blocked(stage, "consent")
    assert (await stage.row(deliveries))["lane"] == "github:0"


async def blocked(stage: Stage, reason: str) -> None:
    """Match: one delivery, blocked for good, and the audit says so."""
    assert await stage.match() == {}
    row = await stage.row(deliveries)
    assert (row["state"], row["blocked_reason"], row["due_at"]) == ("blocked", reason, None)
    (entry,) = await entries(stage, "zekt:delivery:blocked")
    assert (entry["delivery_id"], entry["details"]["reason"]) == (row["id"], reason)
    assert await stage.works() == []


async def test_an_event_type_that_the_service_did_not_declare_is_blocked(stage: Stage) -> None:
    await stage.serve()
    await enveloped(stage, "released")
    await done(stage, blocked_reason="event_type_not_declared")
    (entry,) = await entries(stage, "zekt:envelope:blocked")
    event = (await stage.row(envelopes))["id"]
    blocked = {"reason": "event_type_not_declared", "plugin": "auth"}
    assert entry["details"] == {**blocked, "event": event}


async def test_an_event_type_that_the_consumer_did_not_accept_is_filtered(stage: Stage) -> None:
    await stage.serve()
    await change(stage, services, event_types='["released"]')
    await enveloped(stage, "released")
    await done(stage, filtered=1)


async def test_a_paused_subscription_makes_no_delivery(stage: Stage) -> None:
    await stage.serve()
    await change(stage, subscriptions, paused_at=stage.clock.now())
    await enveloped(stage)
    await done(stage, filtered=1)


async def test_an_ended_subscription_makes_no_delivery(stage: Stage) -> None:
    await stage.serve()
    await change(stage, subscriptions, state="ended")
    await enveloped(stage)
    await done(stage, filtered=1)


async def test_an_envelope_that_nobody_wants_is_kept_and_finished(stage: Stage) -> None:
    await stage.publish()
    await enveloped(stage)
    await done(stage)


async def test_an_envelope_of_no_service_is_kept_and_finished(stage: Stage) -> None:
    name = stage.provider.full_name
    await repositories.enable(stage.broker, ME, name)
    await workflows.allow(stage.broker, ME, name, RELEASE)
    await enveloped(stage)
    await done(stage)


async def test_a_service_that_is_no_longer_published_sends_nothing(stage: Stage) -> None:
    await stage.serve()
    await enveloped(stage)
    await change(stage, services, published_at=None)
    await done(stage)


class Broken:
    """A plugin that cannot decide about some subjects."""

    def __init__(self, broken: Callable[[object], bool]) -> None:
        self.broken = broken

    @hookimpl
    def zekt_block_reason(self, subject: object) -> None:
        if self.broken(subject):
            raise RuntimeError


async def test_a_delivery_that_cannot_be_decided_is_decided_later(stage: Stage) -> None:
    await stage.serve()
    await enveloped(stage)
    stage.broker.plugins.register(Broken(lambda subject: isinstance(subject, Delivery)), "broken")
    assert await stage.match() == {}
    row = await stage.row(deliveries)
    assert (row["state"], row["failures"]) == ("pending", 1)
    assert row["due_at"] == stage.clock.now() + timedelta(seconds=30)
    assert await stage.works() == []


async def test_an_envelope_that_cannot_be_decided_fails_alone(stage: Stage) -> None:
    await stage.serve("*")
    for event_type in ("one", "broken", "two"):
        await enveloped(stage, event_type)
    stage.broker.plugins.register(
        Broken(lambda subject: isinstance(subject, Envelope) and subject.event_type == "broken"),
        "broken",
    )
    failed = await stage.match()
    waiting = [row["id"] for row in await stage.rows(envelopes) if row["due_at"] is not None]
    assert list(failed) == waiting
    assert [type(error) for error in failed.values()] == [PluginFailed]
    assert len(await stage.rows(deliveries)) == 2
