"""Connections that are kept in hand, on both databases: what a call leaves behind."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from tests.db.on_connections import add, held, names
from tests.db.rows import DEADLINE
from zekt_bot.db import engine
from zekt_bot.db.connections import Connections, Threads
from zekt_bot.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

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


async def test_one_call_after_the_other_has_the_same_connection(opened: Open) -> None:
    connections = opened(3)
    assert len({await connections.run(held) for _ in range(9)}) == 1


async def test_what_a_call_leaves_open_is_undone(opened: Open) -> None:
    connections = opened(1)
    before = await connections.run(held)
    await connections.run(add, "half done")
    assert await connections.run(names) == []
    assert await connections.run(held) is before


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
    connections, begun, free = opened(1), asyncio.Event(), Event()
    loop = asyncio.get_running_loop()

    def late(connection: Connection) -> None:
        add(connection, "never")
        loop.call_soon_threadsafe(begun.set)
        if isinstance(connections, Threads):
            free.wait(DEADLINE)
        else:
            connection.execute(text("SELECT pg_sleep(60)"))

    given_up = asyncio.ensure_future(connections.run(late))
    await begun.wait()
    given_up.cancel()
    free.set()
    assert await connections.run(names) == []


async def test_a_call_that_fails_is_run_once(opened: Open) -> None:
    connections, ran = opened(3), list[int]()

    def wrong(connection: Connection) -> None:
        ran.append(1)
        connection.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises(DBAPIError):
        await connections.run(wrong)
    assert ran == [1]


async def test_nothing_is_run_after_the_end(opened: Open) -> None:
    connections = opened(1)
    await connections.run(held)
    await connections.close()
    with pytest.raises(StorageUnavailable):
        await connections.run(held)


async def test_no_more_calls_run_at_once_than_there_are_connections(opened: Open) -> None:
    connections = opened(2)
    found = await asyncio.gather(*(connections.run(held) for _ in range(20)))
    assert len(found) == 20
    assert len(set(found)) <= 2
