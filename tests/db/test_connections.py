"""Connections that are kept in hand: what a call that fails, or is given up, leaves behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import OperationalError, PendingRollbackError

from tests.db.rows import until
from zekt_bot.db import engine
from zekt_bot.db.connections import Connections, Threads
from zekt_bot.db.tables import chores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sqlalchemy import Connection

    Open = Callable[[int], Threads | Connections]


@pytest.fixture
async def opened(migrated_url: str) -> AsyncIterator[Open]:
    """Opens so many connections for writing; once of each kind."""
    address, made = engine.parse(migrated_url), list[Threads | Connections]()

    def open_(size: int) -> Threads | Connections:
        if address.path:
            made.append(Threads(engine.sqlite(address.path), size, "of-a-test"))
        else:
            made.append(Connections(engine.postgresql(address, size=size), size))
        return made[-1]

    yield open_
    for each in made:
        await each.close()


def add(connection: Connection, name: str) -> None:
    """Within a transaction that it does not end."""
    connection.execute(insert(chores).values(name=name, due_at=datetime.now(UTC)))


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(chores.c.name)).scalars())


def held(connection: Connection) -> int:
    """Which connection of the driver's this is."""
    return id(connection.connection.driver_connection)


async def test_one_call_after_the_other_has_the_same_connection(opened: Open) -> None:
    connections = opened(3)
    assert len({await connections.run(held) for _ in range(9)}) == 1


async def test_what_a_call_leaves_open_is_undone(opened: Open) -> None:
    connections = opened(1)
    before = await connections.run(held)
    await connections.run(add, "half done")
    assert await connections.run(names) == []
    assert await connections.run(held) == before


async def test_what_a_call_that_fails_has_begun_is_undone(opened: Open) -> None:
    connections = opened(1)

    def fails(connection: Connection) -> None:
        add(connection, "never")
        raise LookupError("a mistake")

    with pytest.raises(LookupError, match="a mistake"):
        await connections.run(fails)
    assert await connections.run(names) == []


async def test_a_connection_that_was_closed_underneath_is_replaced(opened: Open) -> None:
    connections = opened(1)

    def lose(connection: Connection) -> None:
        add(connection, "never")
        connection.invalidate()
        add(connection, "nor this")

    with pytest.raises(PendingRollbackError):
        await connections.run(lose)
    assert await connections.run(names) == []


async def test_a_call_that_nobody_awaits_any_more_keeps_no_connection(opened: Open) -> None:
    connections, begun, free = opened(1), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def late(connection: Connection) -> None:
        add(connection, "never")
        loop.call_soon_threadsafe(begun.set)
        if isinstance(connections, Threads):
            free.wait(5)
        else:
            connection.execute(text("SELECT pg_sleep(60)"))

    given_up = asyncio.ensure_future(connections.run(late))
    await begun.wait()
    given_up.cancel()
    free.set()
    assert await connections.run(names) == []


async def test_no_more_calls_run_at_once_than_there_are_connections(opened: Open) -> None:
    connections = opened(2)
    found = await asyncio.gather(*(connections.run(held) for _ in range(20)))
    assert len(found) == 20
    assert len(set(found)) <= 2


async def test_a_thread_begins_only_when_the_others_are_busy(tmp_path: Path) -> None:
    threads, together = Threads(engine.sqlite(tmp_path / "zekt.db"), 3, "few"), threading.Barrier(2)

    def alive() -> list[str]:
        return sorted(each.name for each in threading.enumerate() if each.name.startswith("few"))

    def meet(_: Connection) -> None:
        together.wait(5)

    try:
        for _ in range(5):
            await threads.run(held)
        assert alive() == ["few-0"]
        await asyncio.gather(threads.run(meet), threads.run(meet))
        assert alive() == ["few-0", "few-1"]
    finally:
        await threads.close()
    assert alive() == []


async def test_closing_lets_what_was_asked_for_end(tmp_path: Path) -> None:
    threads = Threads(engine.sqlite(tmp_path / "zekt.db"), 1, "few")
    asked = [threads.run(lambda _, n: n, number) for number in range(5)]
    await threads.close()
    assert await asyncio.gather(*asked) == [0, 1, 2, 3, 4]


async def test_a_file_that_cannot_be_opened_is_told_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    threads = Threads(engine.sqlite(folder / "zekt.db"), 1, "few")
    with pytest.raises(OperationalError):
        await threads.run(held)
    folder.mkdir()
    assert await threads.run(held)
    await threads.close()


async def test_a_thread_at_rest_holds_nothing_of_its_last_call(tmp_path: Path) -> None:
    class Large:
        """A page of rows."""

    threads, large = Threads(engine.sqlite(tmp_path / "zekt.db"), 1, "few"), Large()
    gone = weakref.ref(large)
    await threads.run(lambda *_: None, large)
    del large

    async def freed() -> bool:
        gc.collect()
        return gone() is None

    await until(freed)
    await threads.close()


async def test_who_waits_for_a_connection_too_long_is_told(
    migrated_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zekt_bot.db.connections._PATIENCE", 0.05)
    address = engine.parse(migrated_postgres)
    connections = Connections(engine.postgresql(address, size=1, reading=True), 1)
    sleep = text("SELECT pg_sleep(60)")
    busy = asyncio.create_task(connections.run(lambda connection: connection.execute(sleep)))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await connections.run(held)
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    assert await connections.run(held)
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
