"""Rows for the tests of the database, and a few ways to look at what is stored."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, text

from zekt_bot.config import Settings
from zekt_bot.db import deliveries as delivery_rows
from zekt_bot.db import engine, handover, units
from zekt_bot.db.leases import Claim
from zekt_bot.db.tables import deliveries, envelopes, inbox, metadata, runs
from zekt_bot.db.tables import lanes as lanes_table
from zekt_bot.domain.audit import Entry
from zekt_bot.domain.lanes import Pace
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
    from datetime import datetime

    import pytest
    from sqlalchemy import Connection, Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from zekt_bot.db.database import Database
    from zekt_bot.db.handover import Page, Request

KEY = "a key for tests, long enough to be one"
PACE = Pace(per_minute=60, burst=4, in_flight=3)
DEADLINE = 120.0  # of what hangs; less than a test's own bound


def leased(connection: Connection, rows: Sequence[Request]) -> list[list[str]]:
    """The ids that a worker gets with these requests."""
    asked = [(row.table if isinstance(row, Claim) else "deliveries", row) for row in rows]
    return [[row.id for row in page.rows] for page in handover.claim(connection, asked)]


def settings_for(url: str, *keys: str) -> Settings:
    """Settings that name this database."""
    return Settings(database_url=url, secret_keys=keys or (KEY,))


def inbox_row(number: int, **values: Any) -> dict[str, Any]:
    """An inbox row that is due."""
    row = {
        "id": f"inb_{number:026}",
        "app": "orchestrator",
        "guid": f"guid-{number}",
        "event": "workflow_run",
        "raw": b"sealed",
        "state": "waiting",
        "failures": 0,
        "received_at": START,
        "due_at": START,
    }
    return row | values


def run_row(number: int, **values: Any) -> dict[str, Any]:
    """A run."""
    row = {
        "id": f"run_{number:026}",
        "repository_id": 1,
        "run_id": number,
        "run_attempt": 1,
        "correlation_id": f"cor_{number:026}",
        "state": "open",
        "version": 1,
        "failures": 0,
        "hops": 0,
        "received_at": START,
        "due_at": None,
    }
    return row | values


def envelope_row(number: int, run: int = 1, **values: Any) -> dict[str, Any]:
    """An envelope of run number `run`."""
    row = {
        "id": f"evt_{number:026}",
        "run": f"run_{run:026}",
        "kind": "event",
        "event_type": "zekt-workflow-completed",
        "body": b"sealed",
        "version": 1,
        "failures": 0,
        "fanned_out_to": "",
        "created_at": START,
        "due_at": None,
    }
    return row | values


def delivery_row(number: int, lane: str = "github:1", **values: Any) -> dict[str, Any]:
    """A delivery of envelope 1 that is due."""
    row = {
        "id": f"dlv_{number:026}",
        "envelope": f"evt_{1:026}",
        "cause_kind": "subscription",
        "cause_id": f"sub_{number:026}",
        "replay_no": 0,
        "target_repository_id": 2,
        "channel": "repository_dispatch",
        "lane": lane,
        "provider_account_id": 10,
        "consumer_account_id": 20,
        "state": "pending",
        "attempts": 0,
        "failures": 0,
        "created_at": START,
        "updated_at": START,
        "due_at": START,
    }
    return row | values


def put(connection: Connection, rows: Sequence[tuple[Table, list[dict[str, Any]]]]) -> list[None]:
    """Insert rows as they are."""
    for table, values in rows:
        connection.execute(insert(table), values)
    return [None] * len(rows)


def add_deliveries(connection: Connection, rows: Sequence[list[dict[str, Any]]]) -> list[None]:
    """Open the lanes and add the deliveries, as matching does."""
    for row in rows:
        delivery_rows.add(connection, row, START, PACE)
        units.run_left(connection)
    return [None] * len(rows)


async def plant(database: Database, *rows: dict[str, Any]) -> list[str]:
    """Store deliveries with the run and the envelope that they need; answers their ids."""
    if not await stored(database, envelopes):
        await database.write(put, (runs, [run_row(1)]))
        await database.write(put, (envelopes, [envelope_row(1)]))
    await database.write(add_deliveries, list(rows))
    return [row["id"] for row in rows]


async def put_inbox(database: Database, *rows: dict[str, Any]) -> None:
    """Store inbox rows."""
    await database.write(put, (inbox, list(rows)))


async def stored(database: Database, table: Table) -> list[Mapping[str, Any]]:
    """All rows of a table, by primary key."""

    def read(connection: Connection) -> list[Mapping[str, Any]]:
        found = connection.execute(select(table).order_by(*table.primary_key.columns))
        return [dict(row) for row in found.mappings()]

    return await database.query(read)


async def delivery(database: Database, delivery_id: str) -> Mapping[str, Any]:
    """One delivery's row."""
    (row,) = [row for row in await stored(database, deliveries) if row["id"] == delivery_id]
    return row


async def lane(database: Database, name: str = "github:1") -> Mapping[str, Any]:
    """One lane's row."""
    (row,) = [row for row in await stored(database, lanes_table) if row["name"] == name]
    return row


def change(claimed: str, lease: str, to: Any, now: datetime, **values: Any) -> delivery_rows.Change:
    """A result to record, with its attempt."""
    attempt = {
        "outcome": str(to),
        "status": 204,
        "duration_us": 1,
        "sha256": "0" * 64,
        "length": 2,
    }
    facts: dict[str, Any] = {"lane": "github:1", "attempt": attempt} | values
    entry = Entry(f"zekt:delivery:{to}", "zekt", delivery_id=claimed)
    return delivery_rows.Change(
        delivery_id=claimed, lease=lease, to=to, now=now, entry=entry, **facts
    )


@asynccontextmanager
async def open_transaction(url: str) -> AsyncIterator[AsyncConnection]:
    """A transaction at PostgreSQL that the test commits when it likes, ready for units."""
    other = engine.postgresql(engine.parse(url), size=0)
    try:
        async with other.connect() as connection:
            await connection.run_sync(units.begin)
            yield connection
    finally:
        await other.dispose()


class Ear:
    """Hears that rows of a queue may be due, and takes none."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def request(self) -> None:
        """Nothing."""

    def take(self, page: Page) -> None:
        """Nothing comes."""
        raise AssertionError(page)

    def wake(self) -> None:
        self.heard.set()


def listening_for(database: Database, topic: str) -> asyncio.Event:
    """An event that is set when rows of this queue may be due."""
    ear = Ear()
    database.hand_over(topic, ear)
    return ear.heard


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    """Poll until `condition` holds; a test that waits too long fails."""
    give_up = time.monotonic() + DEADLINE
    while not await condition():
        assert time.monotonic() < give_up, "this never came to be"
        await asyncio.sleep(0.005)


async def at_once(
    database: Database, monkeypatch: pytest.MonkeyPatch, *writing: Coroutine[Any, Any, Any]
) -> list[Any]:
    """What these answer, or raise, whose first writes come to the database in one unit."""
    write, come, go = database.write, asyncio.Semaphore(0), asyncio.Event()
    seen: list[units.Unit] = []

    @cache  # neighbours with the same function are one call
    def noting(fn: Callable[..., Any]) -> Callable[..., Any]:
        def noted(connection: Connection, rows: Sequence[Any]) -> Any:
            seen.append(units.of(connection))
            return fn(connection, rows)

        return noted

    async def wait_and_write(fn: Callable[..., Any], row: Any, **more: Any) -> Any:
        come.release()
        await go.wait()
        return await write(noting(fn), row, **more)

    monkeypatch.setattr(database, "write", wait_and_write)
    tasks = []
    for each in writing:
        tasks.append(asyncio.create_task(each))
        await come.acquire()
    go.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert len(seen) == 1, "they were written apart"
    return answers


async def waiting_for_lock(database: Database, many: int = 1) -> bool:
    """Whether so many other connections to this database wait for locks."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    found = await database.query(lambda connection: connection.execute(waiting).scalar_one())
    return bool(found >= many)


async def wipe(database: Database) -> None:
    """Delete every row: for the next example of a property test."""

    def delete_all(connection: Connection, rows: Sequence[None]) -> Sequence[None]:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
        return rows

    await database.write(delete_all, None)
