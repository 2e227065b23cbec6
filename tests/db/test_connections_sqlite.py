"""SQLite's threads, each with its connection: whoever waits is answered, and nothing stays."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from tests.db.on_connections import add, held, names
from tests.db.rows import DEADLINE, until
from zekt_bot.db import engine
from zekt_bot.db.connections import Threads
from zekt_bot.db.tables import chores
from zekt_bot.db.writer import SqliteBackend

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection


def committed(connection: Connection, name: str) -> None:
    with connection.begin():
        add(connection, name)


def raising(_: Connection, error: BaseException) -> None:
    raise error


def refused(*_: Any, **__: Any) -> None:
    raise RuntimeError("can't start new thread")


async def test_a_call_that_was_given_up_before_it_began_is_not_run(tmp_path: Path) -> None:
    threads, free, ran = (
        Threads(engine.sqlite(tmp_path / "zekt.db"), 2, "few"),
        Event(),
        list[int](),
    )
    busy = [threads.run(lambda _: free.wait(DEADLINE)) for _ in range(2)]
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


async def test_a_thread_begins_only_when_the_others_are_busy(tmp_path: Path) -> None:
    threads, together = Threads(engine.sqlite(tmp_path / "zekt.db"), 3, "few"), threading.Barrier(2)

    def alive() -> list[str]:
        return sorted(each.name for each in threading.enumerate() if each.name.startswith("few"))

    def meet(_: Connection) -> None:
        together.wait(DEADLINE)

    try:
        for _ in range(5):
            await threads.run(held)
        assert alive() == ["few-0"]
        free = Event()
        given_up = threads.run(lambda _: free.wait(DEADLINE))
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
