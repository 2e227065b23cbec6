"""Units lock what they need of a table in one order, so that none waits for another for good."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select, text, update

from tests.db.rows import (
    envelope_row,
    inbox_row,
    open_transaction,
    put,
    run_row,
    settings_for,
    until,
    waiting_for_lock,
)
from zekt_bot.db import aside, leases, mirror, tables
from zekt_bot.db.aside import Aside, Requeue
from zekt_bot.db.database import open_database
from zekt_bot.db.leases import LEASED, Failure, Return
from zekt_bot.domain.audit import Entry
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from sqlalchemy import Connection, Table

    from zekt_bot.db.database import Database
    from zekt_bot.testing import ManualClock

QUEUES = pytest.mark.parametrize("queue", list(LEASED))
ENTRY = Entry("zekt:row:requeued", "zekt")


@pytest.fixture
async def database(migrated_postgres: str, clock: ManualClock) -> AsyncIterator[Database]:
    async with open_database(settings_for(migrated_postgres), clock) as opened:
        yield opened


def lock(connection: Connection, where: tuple[Table, Any]) -> None:
    table, row_id = where
    connection.execute(select(table.c.id).where(table.c.id == row_id).with_for_update())


def insert_repository(connection: Connection, row_id: int) -> None:
    row = {"id": row_id, "full_name": "", "full_name_lower": "", "account_id": 1, "private": False}
    more = {"archived": False, "version": 1, "updated_at": START}
    connection.execute(insert(tables.repositories), [row | more])


async def check(
    database: Database,
    url: str,
    takes: Callable[[Connection, Any], None],
    both: tuple[Any, Any],
    work: Callable[[], Awaitable[Any]],
) -> None:
    """While somebody took the first of two, `work` waits for it and has not taken the other one."""
    first, second = both
    async with open_transaction(url) as other:
        await other.run_sync(takes, first)
        working = asyncio.ensure_future(work())
        await until(lambda: waiting_for_lock(database))
        await other.execute(text("SET LOCAL lock_timeout = '200ms'"))
        await other.run_sync(takes, second)
        await other.rollback()
    await working


async def fill(database: Database, queue: str) -> tuple[str, str]:
    """Two rows of a queue, the one that is locked first with the higher id where that may be."""
    await database.write(put, (tables.runs, [run_row(2, run_id=1), run_row(1, run_id=2)]))
    rows = [
        {"inbox": inbox_row, "envelopes": envelope_row, "runs": run_row}[queue](number)
        for number in (1, 2)
    ]
    if queue == "runs":
        return rows[1]["id"], rows[0]["id"]
    await database.write(put, (LEASED[queue], rows))
    return rows[0]["id"], rows[1]["id"]


@QUEUES
@pytest.mark.parametrize("verb", ["fail", "give_back", "requeue"])
async def test_rows_that_are_leased_or_set_aside_are_locked_in_order(
    database: Database, migrated_postgres: str, queue: str, verb: str
) -> None:
    first, second = await fill(database, queue)
    table = LEASED[queue]
    done: dict[str, Callable[[str], tuple[Any, Any]]] = {
        "fail": lambda row: (leases.fail, Failure(queue, row, "lea_1", "no", START)),
        "give_back": lambda row: (leases.give_back, Return(queue, row, "lea_1", START)),
        "requeue": lambda row: (aside.requeue, Requeue([(Aside(queue, row), ENTRY)], START)),
    }

    def set_aside(connection: Connection, _: Sequence[None]) -> list[None]:
        marks = leases.ASIDE[queue] if verb == "requeue" else {}
        failed = {"failures": 5, "lease": "lea_1"}
        connection.execute(update(table).values(failed | marks))
        return [None]

    await database.write(set_aside, None)

    def work() -> Awaitable[Any]:
        return asyncio.gather(*(database.write(*done[verb](row)) for row in (second, first)))

    await check(database, migrated_postgres, lock, ((table, first), (table, second)), work)


async def test_a_run_is_locked_before_its_envelope_and_its_webhook(
    database: Database, migrated_postgres: str
) -> None:
    """Two wishes of one unit: the second's run comes before the first's webhook."""
    await fill(database, "envelopes")
    await database.write(put, (tables.inbox, [inbox_row(1)]))
    tell = (Aside("inbox", inbox_row(1)["id"]), Aside("envelopes", envelope_row(1)["id"]))
    run = Aside("runs", run_row(1)["id"])

    def work() -> Awaitable[Any]:
        wishes = [Requeue([(row, ENTRY)], START) for row in (*tell, run)]
        return asyncio.gather(*(database.write(aside.requeue, wish) for wish in wishes))

    for row in tell:
        pair = (tables.runs, run.id), (LEASED[row.table], row.id)
        await check(database, migrated_postgres, lock, pair, work)


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
async def test_repositories_that_news_name_are_taken_by_their_ids(
    database: Database, migrated_postgres: str, known: bool
) -> None:
    def learn(connection: Connection, rows: Sequence[Sequence[int]]) -> list[None]:
        for ids in rows:
            told = [
                {"id": each, "full_name": f"octo/r{each}", "account_id": 1, "private": False}
                for each in ids
            ]
            mirror.learn(connection, told, 7, START)
        return [None] * len(rows)

    def work() -> Awaitable[None]:
        return database.write(learn, [2, 1])

    if not known:
        await check(database, migrated_postgres, insert_repository, (1, 2), work)
        return

    def fill_in(connection: Connection, _: Sequence[None]) -> list[None]:
        for row_id in (2, 1):  # where they stand on the disk, without an index
            insert_repository(connection, row_id)
        return [None]

    await database.write(fill_in, None)
    pair = (tables.repositories, 1), (tables.repositories, 2)
    await check(database, migrated_postgres, lock, pair, work)
