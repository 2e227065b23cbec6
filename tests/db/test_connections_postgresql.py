"""PostgreSQL's kept connections: cut, given up, or closed while somebody uses them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests import databases
from tests.db.on_connections import held, names
from tests.db.rows import DEADLINE, until
from zekt_bot.db import engine
from zekt_bot.db.connections import Connections
from zekt_bot.errors import StorageUnavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection


async def busy_with(connections: Connections) -> asyncio.Task[None]:
    """A call that takes long, and has begun."""
    begun, sleep = asyncio.Event(), text("SELECT pg_sleep(60)")

    def long(connection: Connection) -> None:
        begun.set()
        connection.execute(sleep)

    busy = asyncio.create_task(connections.run(long))
    await begun.wait()
    return busy


async def test_a_connection_that_is_not_set_up_is_not_left_open(
    migrated_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_LOCK_MS", "'no time'")
    connections = Connections(engine.postgresql(engine.parse(migrated_postgres), size=1), 1)
    with pytest.raises(DBAPIError):
        await connections.run(names)
    others = "SELECT 1 / (1 - sign(count(*)))::int FROM pg_stat_activity"

    async def gone() -> bool:
        with contextlib.suppress(Exception):
            databases.execute(
                migrated_postgres,
                f"{others} WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            return True
        return False

    await until(gone)
    await connections.close()


async def test_of_kept_connections_all_may_be_cut(migrated_postgres: str) -> None:
    address = engine.parse(migrated_postgres)
    connections = Connections(engine.postgresql(address, size=3, reading=True), 3)
    nap = text("SELECT pg_sleep(0.05)")
    await asyncio.gather(*(connections.run(lambda c: c.execute(nap)) for _ in range(3)))
    databases.execute(
        migrated_postgres,
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert await connections.run(names) == []
    await connections.close()


async def test_who_waits_for_a_connection_too_long_is_told(
    migrated_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zekt_bot.db.connections._PATIENCE", 0.05)
    address = engine.parse(migrated_postgres)
    connections = Connections(engine.postgresql(address, size=1, reading=True), 1)
    busy = await busy_with(connections)
    with pytest.raises(TimeoutError):
        await connections.run(held)
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    assert await connections.run(held)
    await connections.close()


async def test_so_is_who_finds_none_free_in_the_pool(
    migrated_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was given up may still be on its way back when there is room for the next."""
    monkeypatch.setattr(engine, "_POOL_SECONDS", 0.05)
    connections = Connections(engine.postgresql(engine.parse(migrated_postgres), size=1), 2)
    busy = await busy_with(connections)
    with pytest.raises(TimeoutError):
        await connections.run(held)
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    await connections.close()


async def test_who_is_cancelled_twice_keeps_no_connection(migrated_postgres: str) -> None:
    address = engine.parse(migrated_postgres)
    connections = Connections(engine.postgresql(address, size=1, reading=True), 1)
    busy = await busy_with(connections)
    await asyncio.sleep(0)
    while not busy.done():
        busy.cancel()
        await asyncio.sleep(0)
    assert await asyncio.wait_for(connections.run(names), DEADLINE) == []
    await connections.close()


async def test_who_reads_while_they_are_closed_leaves_none_open(migrated_postgres: str) -> None:
    address = engine.parse(migrated_postgres)
    connections = Connections(engine.postgresql(address, size=1, reading=True), 1)
    nap = text("SELECT pg_sleep(0.2)")
    reading = asyncio.create_task(
        connections.run(lambda c: (c.execute(nap), c.connection.driver_connection)[1])
    )
    await asyncio.sleep(0)
    await connections.close()
    assert (await reading).is_closed()


async def test_nor_does_who_fails_then(migrated_postgres: str) -> None:
    address = engine.parse(migrated_postgres)
    connections = Connections(engine.postgresql(address, size=1, reading=True), 1)
    driver: list[Any] = []

    def fails(connection: Connection) -> None:
        driver.append(connection.connection.driver_connection)
        connection.execute(text("SELECT 1 / length(pg_advisory_lock(1)::text)"))

    other = await asyncpg.connect(migrated_postgres)
    await other.execute("SELECT pg_advisory_lock(1)")
    reading, waiting = (asyncio.create_task(connections.run(each)) for each in (fails, held))
    await until(lambda: asyncio.sleep(0, result=bool(driver)))
    await connections.close()
    await other.close()
    with pytest.raises(DBAPIError):
        await reading
    with pytest.raises(StorageUnavailable):
        await waiting
    assert driver[0].is_closed()
