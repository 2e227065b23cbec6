"""Connections that are kept in hand: what a call that fails, or is given up, leaves behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import weakref
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
)

from tests import databases
from tests.db.rows import until
from zekt_bot.db import engine
from zekt_bot.db.connections import Connections, Threads
from zekt_bot.db.tables import chores
from zekt_bot.db.writer import SqliteBackend
from zekt_bot.errors import StorageUnavailable

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


def committed(connection: Connection, name: str) -> None:
    with connection.begin():
        add(connection, name)


def raising(_: Connection, error: BaseException) -> None:
    raise error


def refused(*_: Any, **__: Any) -> None:
    raise RuntimeError("can't start new thread")


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(chores.c.name).order_by(chores.c.name)).scalars())


def held(connection: Connection) -> Any:
    """The driver's connection."""
    return connection.connection.driver_connection


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
            free.wait(5)
        else:
            connection.execute(text("SELECT pg_sleep(60)"))

    given_up = asyncio.ensure_future(connections.run(late))
    await begun.wait()
    given_up.cancel()
    free.set()
    assert await connections.run(names) == []


async def test_a_call_that_was_given_up_before_it_began_is_not_run(tmp_path: Path) -> None:
    threads, free, ran = (
        Threads(engine.sqlite(tmp_path / "zekt.db"), 2, "few"),
        Event(),
        list[int](),
    )
    busy = [threads.run(lambda _: free.wait(5)) for _ in range(2)]
    asked = [threads.run(lambda _, n: ran.append(n), number) for number in range(50)]
    for each in asked:
        each.cancel()
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))
    free.set()
    await asyncio.gather(*busy)
    await threads.run(held)
    assert ran == told == []
    await threads.close()


async def test_a_commit_that_fails_is_undone(migrated_sqlite: str) -> None:
    """SQLite's transaction stays open then: the next one could not begin."""
    path = engine.parse(migrated_sqlite).path
    assert path
    backend = SqliteBackend(Threads(engine.sqlite(path), 1, "few"))

    def orphan(connection: Connection) -> list[Any]:
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        connection.execute(
            text("INSERT INTO jobs (run, job_id, name, status) VALUES ('no', 1, '', '')")
        )
        return []

    with pytest.raises(IntegrityError):
        await backend.run(orphan)
    assert await backend.run(names) == []
    await backend.close()


@pytest.mark.parametrize("chained", [False, True])
async def test_a_read_that_failed_amid_its_rows_keeps_no_snapshot(
    migrated_sqlite: str, *, chained: bool
) -> None:
    """Whoever keeps the error keeps what its frames hold: a cursor that is not at its end."""
    path = engine.parse(migrated_sqlite).path
    assert path
    writer, reader = Threads(engine.sqlite(path), 1, "w"), Threads(engine.sqlite(path), 1, "r")
    for name in ("a", "b", "c"):
        await writer.run(committed, name)

    def unreadable(connection: Connection) -> list[str]:
        def first(found: Any) -> str:
            raise LookupError(next(found)[0])

        try:
            return [first(iter(connection.execute(select(chores.c.name))))]
        except LookupError:
            if chained:
                raise ValueError("not to be read") from None
            raise

    with pytest.raises(ValueError if chained else LookupError) as kept:
        await reader.run(unreadable)
    await writer.run(committed, "d")
    assert await reader.run(names) == ["a", "b", "c", "d"]
    assert kept.value
    await reader.close()
    await writer.close()


async def test_whatever_a_call_raises_is_heard(tmp_path: Path) -> None:
    class Empty(Exception):
        def __len__(self) -> int:
            return 0

    threads = Threads(engine.sqlite(tmp_path / "zekt.db"), 1, "few")

    def lose(connection: Connection) -> None:
        connection.connection.dbapi_connection.close()  # type: ignore[union-attr]
        connection.execute(text("SELECT 1"))

    with pytest.raises(Empty):
        await threads.run(raising, Empty())
    with pytest.raises(RuntimeError, match="StopIteration"):
        await threads.run(lambda _: next(iter(())))
    with pytest.raises(KeyboardInterrupt):
        await threads.run(raising, KeyboardInterrupt())
    with pytest.raises(ProgrammingError):
        await threads.run(lose)
    await threads.run(lambda c: c.connection.dbapi_connection.close())
    assert await threads.run(lambda c: c.execute(text("SELECT 1")).scalar()) == 1
    await threads.close()


async def test_a_thread_that_cannot_begin_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = Threads(engine.sqlite(tmp_path / "zekt.db"), 2, "few")
    with monkeypatch.context() as patch:
        patch.setattr(threading, "_start_new_thread", refused)
        patch.setattr(threading, "_start_joinable_thread", refused, raising=False)
        with pytest.raises(RuntimeError, match="can't start"):
            await threads.run(held)
    first = await threads.run(held)
    with monkeypatch.context() as patch:
        patch.setattr(threading, "_start_new_thread", refused)
        patch.setattr(threading, "_start_joinable_thread", refused, raising=False)
        found = await asyncio.gather(*(threads.run(held) for _ in range(3)))
        await threads.close()
    assert found == [first] * 3, "who has begun takes all"


async def test_an_error_may_come_of_whoever_awaits_the_call(tmp_path: Path) -> None:
    threads = Threads(engine.sqlite(tmp_path / "zekt.db"), 1, "few")

    def fails(_: Connection, cause: Exception) -> None:
        raise ValueError("the call's own") from cause

    try:
        raise LookupError("what it is about")
    except LookupError as error:
        with pytest.raises(ValueError, match="own"):
            await threads.run(fails, error)
    assert await threads.run(held)
    await threads.close()


async def test_who_reads_cannot_write(migrated_sqlite: str) -> None:
    path = engine.parse(migrated_sqlite).path
    assert path
    reader = Threads(engine.sqlite(path, reading=True), 1, "few")
    with pytest.raises(OperationalError, match="readonly"):
        await reader.run(add, "no")
    assert await reader.run(names) == []
    await reader.close()


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


async def test_a_call_that_fails_is_run_once(opened: Open) -> None:
    connections, ran = opened(3), list[int]()

    def wrong(connection: Connection) -> None:
        ran.append(1)
        connection.execute(text("SELECT nothing FROM nowhere"))

    with pytest.raises(DBAPIError):
        await connections.run(wrong)
    assert ran == [1]


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
        free = Event()
        given_up = threads.run(lambda _: free.wait(5))
        given_up.cancel()
        free.set()
        await threads.run(held)
        await asyncio.gather(threads.run(meet), threads.run(meet))
        assert alive() == ["few-0", "few-1"]
    finally:
        await threads.close()
    await until(lambda: asyncio.sleep(0, result=not alive()))


async def test_closing_lets_what_was_asked_for_end(tmp_path: Path) -> None:
    threads = Threads(engine.sqlite(tmp_path / "zekt.db"), 1, "few")
    await threads.run(lambda connection: connection.execute(text("CREATE TABLE any (id)")))
    assert (tmp_path / "zekt.db-wal").exists()
    asked = [threads.run(lambda _, n: n, number) for number in range(5)]
    await threads.close()
    assert await asyncio.gather(*asked) == [0, 1, 2, 3, 4]
    assert not (tmp_path / "zekt.db-wal").exists(), "a connection was left open"


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


async def test_so_is_who_finds_none_free_in_the_pool(
    migrated_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was given up may still be on its way back when there is room for the next."""
    monkeypatch.setattr(engine, "_POOL_SECONDS", 0.05)
    connections = Connections(engine.postgresql(engine.parse(migrated_postgres), size=1), 2)
    begun, sleep = asyncio.Event(), text("SELECT pg_sleep(60)")

    def long(connection: Connection) -> None:
        begun.set()
        connection.execute(sleep)

    busy = asyncio.create_task(connections.run(long))
    await begun.wait()
    with pytest.raises(TimeoutError):
        await connections.run(held)
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    await connections.close()


async def test_who_is_cancelled_twice_keeps_no_connection(migrated_postgres: str) -> None:
    address = engine.parse(migrated_postgres)
    connections = Connections(engine.postgresql(address, size=1, reading=True), 1)
    begun, sleep = asyncio.Event(), text("SELECT pg_sleep(60)")

    def long(connection: Connection) -> None:
        begun.set()
        connection.execute(sleep)

    busy = asyncio.create_task(connections.run(long))
    await begun.wait()
    await asyncio.sleep(0)
    while not busy.done():
        busy.cancel()
        await asyncio.sleep(0)
    assert await asyncio.wait_for(connections.run(names), 5) == []
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
        connection.execute(text("SELECT 1 / length(pg_sleep(0.2)::text)"))

    reading, waiting = (asyncio.create_task(connections.run(each)) for each in (fails, held))
    await until(lambda: asyncio.sleep(0, result=bool(driver)))
    await connections.close()
    with pytest.raises(DBAPIError):
        await reading
    with pytest.raises(StorageUnavailable):
        await waiting
    assert driver[0].is_closed()
