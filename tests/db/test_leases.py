"""Leases of the inbox, the runs and the envelopes: a row is one worker's until its lease ends."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from tests.db.rows import (
    delivery,
    delivery_row,
    envelope_row,
    inbox_row,
    lane,
    leased,
    plant,
    put,
    put_inbox,
    run_row,
    settings_for,
    stored,
)
from zekt_bot.db import chores, inbox, leases, tables
from zekt_bot.db.database import open_database
from zekt_bot.db.leases import LEASED, Claim, Failure, Return
from zekt_bot.domain.audit import Entry
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Connection, Update

    from zekt_bot.db.database import Database
    from zekt_bot.testing import ManualClock

LEASE = timedelta(seconds=30)
QUEUES = pytest.mark.parametrize("queue", list(LEASED))


async def claim(
    database: Database, queue: str, now: datetime = START, limit: int = 100, lease: str = "lea_1"
) -> list[str]:
    return await database.write(leased, Claim(queue, now, now + LEASE, lease, limit))


async def fill(database: Database, queue: str, *due_at: datetime | None) -> list[str]:
    """A row in `queue` for each moment; answers their ids."""
    if queue == "inbox":
        rows = [inbox_row(n, due_at=at) for n, at in enumerate(due_at)]
    elif queue == "runs":
        rows = [run_row(n, due_at=at) for n, at in enumerate(due_at)]
    else:
        await database.write(put, (tables.runs, [run_row(1)]))
        rows = [envelope_row(n, due_at=at) for n, at in enumerate(due_at)]
    await database.write(put, (LEASED[queue], rows))
    return [row["id"] for row in rows]


async def row_of(database: Database, queue: str, row_id: str) -> dict[str, Any]:
    (row,) = [dict(row) for row in await stored(database, LEASED[queue]) if row["id"] == row_id]
    return row


@QUEUES
async def test_only_what_is_due_is_taken_the_longest_due_first(
    database: Database, queue: str
) -> None:
    second = timedelta(seconds=1)
    rows = await fill(database, queue, START, START - second, None, START + second, START - LEASE)
    assert await claim(database, queue, limit=2) == sorted([rows[4], rows[1]])
    assert await claim(database, queue) == [rows[0]]
    assert await claim(database, queue) == []


@QUEUES
async def test_a_claimed_row_is_due_again_when_its_lease_ends(
    database: Database, queue: str
) -> None:
    (row,) = await fill(database, queue, START)
    assert await claim(database, queue) == [row]
    almost = START + LEASE - timedelta(microseconds=1)
    assert await claim(database, queue, almost) == []
    assert await claim(database, queue, START + LEASE, lease="lea_2") == [row]
    assert (await row_of(database, queue, row))["lease"] == "lea_2"


@QUEUES
async def test_a_failed_row_is_due_again_after_its_back_off(database: Database, queue: str) -> None:
    (row,) = await fill(database, queue, START)
    await claim(database, queue)
    again_at = START + timedelta(seconds=5)
    await database.write(leases.fail, Failure(queue, row, "lea_1", "plugin_failed", again_at))
    assert await claim(database, queue) == []
    assert await claim(database, queue, again_at) == [row]
    found = await row_of(database, queue, row)
    assert (found["failures"], found["reason"]) == (1, "plugin_failed")


@QUEUES
async def test_a_row_that_is_set_aside_is_never_due_again(database: Database, queue: str) -> None:
    (row,) = await fill(database, queue, START)
    await claim(database, queue)
    entry = Entry("zekt:row:set_aside", "zekt")
    failure = Failure(queue, row, "lea_1", "RuntimeError", None, entry)
    assert await database.write(leases.fail, failure)
    assert await claim(database, queue, START + timedelta(days=365)) == []
    found = await row_of(database, queue, row)
    if queue == "envelopes":
        assert found["blocked_reason"] == "plugin_failed"
    else:
        assert found["state"] == "set_aside"
    assert (found["lease"], found["reason"]) == (None, "RuntimeError")
    assert [one["verb"] for one in await stored(database, tables.audit)] == ["zekt:row:set_aside"]


@QUEUES
async def test_who_lost_a_row_cannot_fail_it(database: Database, queue: str) -> None:
    (row,) = await fill(database, queue, START)
    await claim(database, queue)
    await claim(database, queue, START + LEASE, lease="lea_2")
    before = await row_of(database, queue, row)
    failure = Failure(queue, row, "lea_1", "no", None, Entry("zekt:row:set_aside", "zekt"))
    assert not await database.write(leases.fail, failure)
    await database.write(leases.give_back, Return(queue, row, "lea_1", START))
    assert await row_of(database, queue, row) == before
    assert await stored(database, tables.audit) == []


@QUEUES
async def test_a_row_given_back_has_not_failed(database: Database, queue: str) -> None:
    (row,) = await fill(database, queue, START)
    before = await row_of(database, queue, row)
    await claim(database, queue)
    await database.write(leases.give_back, Return(queue, row, "lea_1", START))
    assert await row_of(database, queue, row) == before


@QUEUES
async def test_the_next_due_is_the_earliest(database: Database, queue: str) -> None:
    assert await database.query(leases.next_due, queue) is None
    await fill(database, queue, None, START + LEASE, START, START + 2 * LEASE)
    assert await database.query(leases.next_due, queue) == START
    await claim(database, queue)
    assert await database.query(leases.next_due, queue) == START + LEASE


async def test_the_next_delivery_is_its_lanes(database: Database) -> None:
    assert await database.query(leases.next_due, "deliveries") is None
    await plant(database, delivery_row(1, "github:1", due_at=START + LEASE))
    await plant(database, delivery_row(2, "github:2", due_at=START))
    assert await database.query(leases.next_due, "deliveries") == START


async def test_an_only_server_frees_every_lease_when_it_starts(database: Database) -> None:
    held: dict[str, Any] = {"due_at": START + LEASE, "lease": "lea_1"}
    (sent,) = await plant(database, delivery_row(1, **held))
    (waits,) = await plant(database, delivery_row(2, due_at=START + LEASE))
    await put_inbox(database, inbox_row(1, **held), inbox_row(2, lease=None, due_at=None))
    await database.write(put, (tables.runs, [run_row(2, **held)]))
    await database.write(put, (tables.envelopes, [envelope_row(2, **held)]))
    assert await database.write(leases.release_all, START) == 4
    for queue in LEASED:
        assert len(await claim(database, queue)) == 1
    freed = await delivery(database, sent)
    assert (freed["due_at"], freed["lease"]) == (START, None)
    assert (await delivery(database, waits))["due_at"] == START + LEASE


async def test_a_freed_delivery_is_looked_at_at_once(database: Database) -> None:
    await plant(database, delivery_row(1, due_at=START + LEASE, lease="lea_1"))
    assert (await lane(database))["next_ready_at"] == START + LEASE
    await database.write(leases.release_all, START)
    assert (await lane(database))["next_ready_at"] == START


async def test_a_processed_row_stays_without_its_body_and_is_never_due(database: Database) -> None:
    await put_inbox(database, inbox_row(1), inbox_row(2))
    row = inbox_row(1)["id"]
    await claim(database, "inbox")
    await database.write(inbox.done, (row, START))
    assert await claim(database, "inbox", START + LEASE) == [inbox_row(2)["id"]]
    found = await row_of(database, "inbox", row)
    assert (found["state"], found["raw"], found["lease"]) == ("processed", None, None)


async def test_a_guid_of_an_app_is_stored_once(database: Database) -> None:
    first, again = inbox_row(1), inbox_row(2, guid="guid-1")
    other = inbox_row(3, guid="guid-1", app="oauth")

    async def add(*rows: dict[str, Any]) -> set[str]:
        return (await database.write(lambda c, _: [inbox.add(c, rows)], None)).new

    assert await add() == set()
    assert await add(first, again) == {first["id"]}
    assert await add(again, other) == {other["id"]}
    (loaded,) = await database.query(inbox.load, [first["id"]])
    assert (loaded["guid"], loaded["raw"]) == ("guid-1", b"sealed")


async def test_a_chore_is_done_by_one_process_at_a_time(database: Database) -> None:
    again_at = START + LEASE
    taken = await asyncio.gather(
        *(database.write(chores.take, ("sweep", START, again_at)) for _ in range(5))
    )
    assert taken.count(True) == 1
    assert not await database.write(chores.take, ("sweep", START + LEASE / 2, again_at))
    assert await database.write(chores.take, ("sweep", again_at, again_at + LEASE))


@pytest.fixture
async def two(migrated_postgres: str, clock: ManualClock) -> AsyncIterator[tuple[Database, ...]]:
    """Two processes' ways to one PostgreSQL database."""
    settings = settings_for(migrated_postgres)
    async with open_database(settings, clock) as one, open_database(settings, clock) as other:
        yield one, other


@QUEUES
async def test_two_workers_never_take_the_same_row(two: tuple[Database, ...], queue: str) -> None:
    rows = await fill(two[0], queue, *[START] * 200)
    taken = await asyncio.gather(
        *(claim(two[n % 2], queue, limit=7, lease=f"lea_{n}") for n in range(40))
    )
    assert sorted(chain.from_iterable(taken)) == sorted(rows)


async def test_two_processes_do_a_chore_once(two: tuple[Database, ...]) -> None:
    taken = await asyncio.gather(
        *(two[n % 2].write(chores.take, (f"c{n // 2}", START, START + LEASE)) for n in range(40))
    )
    assert [taken[n] + taken[n + 1] for n in range(0, 40, 2)] == [True] * 20


async def test_a_clock_that_was_ahead_and_set_back_keeps_nothing_waiting(
    database: Database,
) -> None:
    ahead, minute = START + timedelta(hours=5), timedelta(minutes=1)
    left, retried, held = await plant(
        database,
        delivery_row(1, due_at=ahead, updated_at=ahead, lease=None),
        delivery_row(2, due_at=START + minute, state="retrying", lease=None),
        delivery_row(3, due_at=ahead, updated_at=START, lease="lea_1"),
    )
    await put_inbox(database, inbox_row(1, due_at=ahead))
    shut = update(tables.lanes).values(open_at=ahead + minute)
    await database.write(_execute, shut)

    async def take(now: datetime) -> bool:
        return await database.write(chores.take, ("lanes", now, now + minute))

    assert await take(ahead)
    assert await take(START)
    due = {row["id"]: row["due_at"] for row in await stored(database, tables.deliveries)}
    assert due == {left: START, retried: START + minute, held: START + minute}
    assert (await stored(database, tables.inbox))[0]["due_at"] == START
    found = await lane(database)
    assert (found["next_ready_at"], found["open_at"]) == (START, START + timedelta(hours=1))


async def test_clocks_of_two_machines_that_differ_a_little_take_a_chore_once(
    database: Database,
) -> None:
    minute, little = timedelta(minutes=1), timedelta(seconds=5)
    assert await database.write(chores.take, ("lanes", START + little, START + little + minute))
    assert not await database.write(chores.take, ("lanes", START, START + minute))


def _execute(connection: Connection, rows: Sequence[Update]) -> list[None]:
    for row in rows:
        connection.execute(row)
    return [None] * len(rows)
