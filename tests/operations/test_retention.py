"""What is deleted by age, in which order, and what stays however old it is."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import update

from tests.db.rows import inbox_row, put_inbox
from tests.db.rows import put as insert_rows
from tests.pipeline.sending import execute
from tests.stage import ME, RELEASE, SERVICE, open_stage
from zekt_bot.config import Settings
from zekt_bot.db import retention as steps
from zekt_bot.db.tables import (
    attempts,
    audit,
    audit_chains,
    deliveries,
    envelopes,
    inbox,
    jobs,
    messages,
    metadata,
    replays,
    runs,
    subscriptions,
)
from zekt_bot.domain.deliveries import SENDABLE
from zekt_bot.domain.replays import Wanted
from zekt_bot.errors import Conflict
from zekt_bot.operations import retention
from zekt_bot.operations.audit_proof import checkpoint, verify
from zekt_bot.operations.message_lists import show_message
from zekt_bot.operations.replay import replay, replay_many
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.operations.subscriptions import end, request
from zekt_bot.testing import payloads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Table

    from tests.stage import Stage

EVENT = (jobs, messages, runs, envelopes)


def never() -> bool:
    return False


def set_all(connection: Connection, rows: Sequence[tuple[Table, dict[str, Any]]]) -> list[None]:
    for table, values in rows:
        connection.execute(update(table).values(**values))
    return [None] * len(rows)


async def put(stage: Stage, table: Table, **values: Any) -> None:
    await stage.broker.database.write(set_all, (table, values))


async def later(stage: Stage, days: float) -> None:
    """After so many days, by one sweep."""
    stage.clock.advance(timedelta(days=days))
    await retention.purge(stage.broker, never)


async def one_of_each(stage: Stage) -> None:
    """A delivered event with a job, a message, two attempts and a replay."""
    await stage.serve("released")
    stage.github.fail("POST", "/repos/*/dispatches", status=500)
    run = await stage.finish_run("build")
    await stage.listen()
    await stage.post(run)
    await stage.flow()
    stage.clock.advance(timedelta(minutes=1))
    await stage.deliver()
    assert (await stage.row(deliveries))["state"] == "dispatched"
    await replay_many(stage.broker, ME, Wanted())
    stage.clock.advance(timedelta(seconds=1))
    await stage.deliver()


async def counts(stage: Stage, *tables: Table) -> list[int]:
    return [len(await stage.rows(table)) for table in tables]


async def test_an_event_goes_with_all_that_is_its_own_when_its_time_is_over(stage: Stage) -> None:
    await one_of_each(stage)
    before = await counts(stage, *EVENT, deliveries, attempts)
    assert before == [1, 1, 1, 1, 2, 3]
    await later(stage, 395)
    assert await counts(stage, *EVENT, deliveries, attempts) == before
    await later(stage, 2)
    assert await counts(stage, *EVENT, deliveries, attempts, replays) == [0] * 7
    assert await retention.purge(stage.broker, never) == {}


@pytest.mark.parametrize("column", ["prove_by", "sequence_key"])
async def test_a_delivery_that_something_still_depends_on_stays(stage: Stage, column: str) -> None:
    """A durable one may be sent again; the next of an ordered subscription waits for its turn."""
    await one_of_each(stage)
    values = {"prove_by": stage.clock.now() + timedelta(days=1000), "sequence_key": "sub_1"}
    await put(stage, deliveries, **{column: values[column]})
    await later(stage, 397)
    assert len(await stage.rows(deliveries)) == 2
    await put(stage, deliveries, **{column: None})
    await later(stage, 0)
    assert await counts(stage, deliveries, envelopes) == [0, 0]


async def test_payloads_go_first_and_their_rows_stay(stage: Stage) -> None:
    await one_of_each(stage)
    message, (delivery, *_) = await stage.row(messages), await stage.rows(deliveries)
    await later(stage, 89)
    assert (await stage.row(messages))["body"] == message["body"] != b""
    await later(stage, 2)
    for table in (messages, envelopes):
        row = await stage.row(table)
        assert (row["body"], row["body_gone_at"]) == (b"", stage.clock.now())
    with pytest.raises(Conflict, match="deleted by age"):
        await replay(stage.broker, ME, delivery["id"])
    with pytest.raises(Conflict, match="ZEKT_PAYLOAD_DAYS"):
        await show_message(stage.broker, ME, message["id"], body=True)
    assert await retention.purge(stage.broker, never) == {}


@pytest.mark.parametrize("state", sorted(SENDABLE))
async def test_what_is_not_final_stays_however_old_with_all_it_needs(
    stage: Stage, state: str
) -> None:
    await one_of_each(stage)
    await put(stage, deliveries, state=state)
    before = await counts(stage, *EVENT, deliveries, attempts)
    await later(stage, 1000)
    assert await counts(stage, *EVENT, deliveries, attempts) == before
    assert (await stage.row(messages))["body"] != b""
    assert (await stage.row(envelopes))["body"] != b""


@pytest.mark.parametrize("table", [runs, envelopes, deliveries], ids=str)
async def test_what_is_due_or_leased_stays(stage: Stage, table: Table) -> None:
    await one_of_each(stage)
    before = await counts(stage, *EVENT)
    for values in ({"due_at": stage.clock.now(), "lease": None}, {"due_at": None, "lease": "l"}):
        await put(stage, table, **values)
        await later(stage, 400)
        found = await counts(stage, *EVENT)
        assert found[2] == 1, values
        assert table is runs or found == before


async def test_what_a_replay_needs_stays_until_it_is_sent(stage: Stage) -> None:
    await one_of_each(stage)
    stage.clock.advance(timedelta(days=89))
    await replay(stage.broker, ME, (await stage.rows(deliveries))[0]["id"])
    await later(stage, 2)
    assert (await stage.row(envelopes))["body"] != b""
    await stage.deliver()
    assert len(stage.github.dispatches) == 3
    await later(stage, 0)
    assert (await stage.row(envelopes))["body"] == b""


async def test_blocked_events_and_deliveries_go_after_thirty_days(stage: Stage) -> None:
    await one_of_each(stage)
    await put(stage, deliveries, state="blocked", blocked_reason="consent")
    await later(stage, 29)
    assert await counts(stage, deliveries, envelopes) == [2, 1]
    await later(stage, 2)
    assert await counts(stage, deliveries, attempts, envelopes, runs) == [0, 0, 1, 1]
    await put(stage, envelopes, blocked_reason="event_type_not_declared")
    await later(stage, 0)
    assert await counts(stage, envelopes, messages, runs) == [0, 1, 1]
    await put(stage, runs, blocked_reason="from_fork", caused_by_delivery_id="dlv_1")
    await later(stage, 0)
    assert await counts(stage, runs) == [1]  # it tells what became of a delivery
    await put(stage, runs, caused_by_delivery_id=None)
    await later(stage, 0)
    assert await counts(stage, *EVENT) == [0] * 4


async def test_a_run_that_was_set_aside_goes_with_its_messages(stage: Stage) -> None:
    await stage.publish("released")
    run = await stage.finish_run("build")
    await stage.listen()
    await stage.post(run)
    await put(stage, runs, state="set_aside", reason="PluginFailed", due_at=None)
    await later(stage, 29)
    assert await counts(stage, runs, messages, jobs) == [1, 1, 1]
    await later(stage, 2)
    assert await counts(stage, runs, messages, jobs) == [0, 0, 0]


async def test_a_message_of_which_nothing_was_made_loses_its_body(stage: Stage) -> None:
    await stage.publish("released")
    run = await stage.finish_run("build")
    await stage.listen()
    await stage.post(run)
    await put(stage, runs, state="open", due_at=None)
    await later(stage, 91)
    assert (await stage.row(messages))["body"] != b""
    await put(stage, runs, state="done")
    await later(stage, 0)
    assert (await stage.row(messages))["body"] == b""


async def test_a_message_is_there_until_a_day_past_its_runs_webhook(migrated_url: str) -> None:
    short: dict[str, Any] = dict.fromkeys(("event_days", "payload_days", "blocked_days"), 1)
    async with open_stage(migrated_url, **short) as stage:
        await stage.publish("released")
        run = await stage.finish_run("build")
        never_ends = await stage.github.start_run(stage.provider, "release.yml")
        await stage.post(run)
        await stage.post(never_ends, b'"in vain"')
        await later(stage, 30)
        assert all(row["body"] for row in await stage.rows(messages))
        await stage.listen()
        await put(stage, jobs, status="completed")
        ended = update(runs).where(runs.c.run_id == run.id).values(state="set_aside", due_at=None)
        await execute(stage, ended)
        await later(stage, 1)
        assert all(row["body"] for row in await stage.rows(messages))
        await later(stage, 0.1)
        assert {row["body"] == b"" for row in await stage.rows(messages)} == {True, False}
        await later(stage, 4.8)
        assert {row["run_id"] for row in await stage.rows(runs)} == {run.id, never_ends.id}
        await later(stage, 0.2)
        assert {row["run_id"] for row in await stage.rows(runs)} == {run.id}
        await later(stage, 2)
        assert await counts(stage, runs, messages) == [0, 0]


async def test_webhooks_are_known_for_eight_days_and_kept_when_set_aside(stage: Stage) -> None:
    await stage.publish()
    await stage.finish_run("build")
    await stage.listen()
    many = len(await stage.rows(inbox))
    await later(stage, 7.9)
    assert await counts(stage, inbox) == [many]
    await put(stage, inbox, state="set_aside", raw=b"sealed")
    await later(stage, 1)
    assert [row["raw"] for row in await stage.rows(inbox)] == [b"sealed"] * many
    await later(stage, 22)
    assert await counts(stage, inbox) == [0]
    await stage.finish_run("build")
    await stage.take()
    await later(stage, 100)
    assert await counts(stage, inbox) != [0]  # nobody has looked at these yet


async def test_an_ended_subscription_goes_and_one_that_was_asked_anew_stays(stage: Stage) -> None:
    await stage.serve()
    ends = Ends(SERVICE, stage.consumer.full_name)
    await end(stage.broker, ME, "end", ends)
    await later(stage, 0)
    await later(stage, 29)
    await request(stage.broker, ME, ends)
    await later(stage, 2)
    assert (await stage.row(subscriptions))["over_at"] is None
    await end(stage.broker, ME, "end", ends)
    await later(stage, 0)
    await later(stage, 29)
    assert await counts(stage, subscriptions) == [1]
    await later(stage, 2)
    assert await counts(stage, subscriptions) == [0]


async def test_the_audit_begins_later_and_is_still_proven(stage: Stage) -> None:
    await stage.serve()
    old = len(await stage.rows(audit))
    before = await checkpoint(stage.broker, ME)
    await later(stage, 200)
    await end(stage.broker, ME, "end", Ends(SERVICE, stage.consumer.full_name))
    await later(stage, 197)
    (entry,) = await stage.rows(audit)
    assert entry["verb"] == "person:subscription:ended"
    (chain,) = await stage.rows(audit_chains)
    assert (chain["first_seq"], chain["head_seq"]) == (old + 1, old + 1)
    found = await verify(stage.broker, ME, [orjson.dumps(before)])
    assert (found["intact"], found["entries"]) == (True, 1)
    await later(stage, 200)
    assert await counts(stage, audit) == [0]
    found = await verify(stage.broker, ME, [orjson.dumps(before)])
    assert (found["intact"], found["entries"]) == (True, 0)


async def test_what_was_put_before_a_chains_beginning_stays_to_be_found(stage: Stage) -> None:
    await stage.serve()
    await later(stage, 397)
    await end(stage.broker, ME, "end", Ends(SERVICE, stage.consumer.full_name))
    (entry,) = await stage.rows(audit)
    planted = dict(entry) | {"seq": 1}
    await stage.broker.database.write(insert_rows, (audit, [planted]))
    await later(stage, 397)
    assert [row["seq"] for row in await stage.rows(audit)] == [1]
    assert not (await verify(stage.broker, ME, []))["intact"]


async def test_for_ever_is_for_ever(migrated_url: str) -> None:
    names = ("event", "delivery", "attempt", "audit", "payload", "blocked", "withdrawn")
    kept: dict[str, Any] = {f"{name}_days": 0 for name in names}
    async with open_stage(migrated_url, **kept) as stage:
        await one_of_each(stage)
        before = await counts(stage, *EVENT, deliveries, attempts, audit, replays)
        await later(stage, 3000)
        assert await counts(stage, *EVENT, deliveries, attempts, audit, replays) == before


async def test_what_github_still_lists_stays_known(migrated_url: str) -> None:
    """Or it would be taken in anew, as if its webhook had been missed, and sent twice."""
    short: dict[str, Any] = dict.fromkeys(("event_days", "delivery_days", "blocked_days"), 1)
    async with open_stage(migrated_url, **short) as stage:
        await one_of_each(stage)
        await put(stage, inbox, state="set_aside")
        many = len(await stage.rows(inbox))
        await later(stage, 7.9)
        assert await counts(stage, deliveries, envelopes, runs, inbox) == [0, 0, 1, many]
        await later(stage, 0.2)
        assert await counts(stage, runs, inbox) == [0, 0]
    longer = Settings(event_days=1, blocked_days=5, recover_max_age=timedelta(days=20))
    found = retention.days(longer)
    assert (found["runs"], found["blocked_runs"], found["webhooks_set_aside"]) == (21, 21, 8)
    assert retention.days(Settings(event_days=0))["runs"] == 0


async def test_attempts_may_go_before_their_deliveries(migrated_url: str) -> None:
    async with open_stage(migrated_url, attempt_days=10) as stage:
        await one_of_each(stage)
        await later(stage, 11)
        assert await counts(stage, attempts, deliveries) == [0, 2]


async def test_batches_are_small_and_the_stop_is_heard(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 1)
    await one_of_each(stage)
    stage.clock.advance(timedelta(days=400))
    stops = iter([False, True])
    assert await retention.purge(stage.broker, lambda: next(stops, True)) == {"attempts": 1}
    assert await counts(stage, attempts, deliveries) == [2, 2]
    done = await retention.purge(stage.broker, never)
    assert (done["attempts"], done["deliveries"], done["runs"]) == (2, 2, 1)


async def test_webhooks_wait_for_a_batch_and_not_for_all(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    await stage.publish()
    known = {"state": "processed", "raw": None, "due_at": None}
    await put_inbox(stage.broker.database, *(inbox_row(each, **known) for each in range(100)))
    stage.clock.advance(timedelta(days=9))
    purging = asyncio.create_task(retention.purge(stage.broker, never))
    run = await stage.github.start_run(stage.provider, RELEASE)
    await stage.tell("workflow_run", payloads.workflow_run(run, "requested", stage.providing))
    left = sum(row["state"] == "processed" for row in await stage.rows(inbox))
    assert 50 < left <= 100
    assert await purging == {"webhooks": 50}


def test_whatever_refers_to_a_deleted_row_is_known() -> None:
    """A new table that refers to one of these must be deleted before it: see `db/retention.py`."""
    purged = {table.name for table in (*EVENT, deliveries, attempts)}
    referring = {
        (table.name, key.column.table.name)
        for table in metadata.tables.values()
        for key in table.foreign_keys
        if key.column.table.name in purged
    }
    assert referring == {
        ("attempts", "deliveries"),
        ("deliveries", "envelopes"),
        ("envelopes", "messages"),
        ("envelopes", "runs"),
        ("messages", "runs"),
        ("jobs", "runs"),
    }
    assert set(steps.STEPS) == set(retention.days(Settings()))
