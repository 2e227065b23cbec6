"""Ordered subscriptions on one PostgreSQL: whatever moves many of them locks lanes in one order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tests.db.rows import (
    PACE,
    delivery_row,
    open_transaction,
    plant,
    put,
    run_row,
    settings_for,
    stored,
    until,
    waiting_for_lock,
)
from zekt_bot.db import deliveries, lanes, proofs, sequences, tables, unproven
from zekt_bot.db.database import open_database
from zekt_bot.domain.audit import Entry
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database
    from zekt_bot.testing import ManualClock

    Work = Callable[[Database], Awaitable[object]]

NUMBERS = range(1, 5)
FIRST, LAST = "github:1", "github:4"


@pytest.fixture
async def database(migrated_postgres: str, clock: ManualClock) -> AsyncIterator[Database]:
    async with open_database(settings_for(migrated_postgres), clock) as opened:
        yield opened


def ordered_row(number: int, **values: Any) -> dict[str, Any]:
    """Of a sequence of its own, whose lane comes the later the earlier its key."""
    sequence = {"sequence_key": f"sub_{number}", "prove_by": START, "dispatched_at": START}
    return delivery_row(number, f"github:{5 - number}", due_at=None) | sequence | values


def as_unproven(row: dict[str, Any]) -> unproven.Answer:
    names = ("id", "lane", "prove_by", "sequence_key")
    known: dict[str, Any] = {name: row[name] for name in names}
    more: dict[str, Any] = {"account_id": 1, "repository_id": 2, "correlation_id": "cor_1"}
    seen = unproven.Unproven(**known, **more, sends=1, guessed=False, durable=None)
    return unproven.Answer(seen, "dead", START)


def match(connection: Connection, rows: Sequence[list[dict[str, Any]]]) -> list[None]:
    for row in rows:
        deliveries.add(connection, row, START, PACE)
        sequences.advance(connection, {each["sequence_key"]: START for each in row})
    return [None] * len(rows)


def settle(connection: Connection, rows: Sequence[list[str]]) -> list[None]:
    news = proofs.Proving({"completed": Entry("zekt:delivery:completed", "zekt")}, START, (1, 1))
    for row in rows:
        proofs.settle(connection, [(each, news) for each in row])
    return [None] * len(rows)


async def by_look(database: Database) -> None:
    turns = [(f"sub_{number}", START) for number in NUMBERS]
    await asyncio.gather(*(database.write(sequences.look, turn) for turn in turns))


async def by_match(database: Database) -> None:
    more = [ordered_row(n, id=f"dlv_{10 + n:026}", replay_no=1) for n in NUMBERS]
    await database.write(match, more)


async def by_proof(database: Database) -> None:
    await database.write(settle, [f"dlv_{number:026}" for number in NUMBERS])


async def by_silence(database: Database) -> None:
    rows = [as_unproven(ordered_row(number)) for number in NUMBERS]
    await asyncio.gather(*(database.write(unproven.answer, row) for row in rows))


@pytest.mark.parametrize("work", [by_look, by_match, by_proof, by_silence])
async def test_whatever_moves_many_locks_their_lanes_in_order(
    database: Database, migrated_postgres: str, work: Work
) -> None:
    rows = [ordered_row(number, state="dispatched") for number in NUMBERS]
    await plant(database, *rows)
    bound = {"bound_by": "title", "status": "completed", "conclusion": "success"}
    proofs_of = [run_row(10 + n, caused_by_delivery_id=f"dlv_{n:026}", **bound) for n in NUMBERS]
    await database.write(put, (tables.runs, proofs_of))
    async with open_transaction(migrated_postgres) as other:
        await other.run_sync(lanes.wake, {FIRST: START})
        moving = asyncio.ensure_future(work(database))
        await until(lambda: waiting_for_lock(database))
        await other.execute(text("SET LOCAL lock_timeout = '200ms'"))
        await other.run_sync(lanes.wake, {LAST: START})  # it holds none that comes later
        await other.commit()
    await moving
    left = [row["sequence_key"] for row in await stored(database, tables.deliveries)]
    assert set(left) == {None}
