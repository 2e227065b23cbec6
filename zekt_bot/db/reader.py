"""Reading: connections of its own, and questions that wait share one call.

`await reader.query(fn, *args)` runs `fn(connection, *args)`, plain and synchronous like a write.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from zekt_bot.db.engine import again_if_cut
from zekt_bot.errors import StorageUnavailable, is_own_cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

Row = TypeVar("Row")
Answer = TypeVar("Answer")

_MOST_A_CALL = 512
_UNREADABLE = (DBAPIError, NoConnectionFree, OSError)


class Reader(Protocol):
    """Runs a function on a connection that never waits for the writer."""

    async def query(self, fn: Callable[..., Answer], *args: object) -> Answer:
        """Read with `fn(connection, *args)`; raises StorageUnavailable."""
        ...

    async def close(self) -> None:
        """Give back the connections."""
        ...


class SqliteReader:
    """Synchronous connections in threads: one hop a question, where aiosqlite has one a call."""

    def __init__(self, engine: Engine, size: int) -> None:
        """Take the engine over; `close` disposes of it."""
        self._engine = engine
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="zekt-reader")
        self._closed = False

    async def query(self, fn: Callable[..., Answer], *args: object) -> Answer:
        """Read in one of the threads."""
        if self._closed:
            raise StorageUnavailable
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._query, fn, args
        )

    def _query(self, fn: Callable[..., Answer], args: tuple[object, ...]) -> Answer:
        try:
            with self._engine.connect() as connection:
                return fn(connection, *args)
        except _UNREADABLE as error:
            raise StorageUnavailable from error

    async def close(self) -> None:
        """Wait for what is being read, and close."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()


class PostgresqlReader:
    """asyncpg connections, through SQLAlchemy's greenlet bridge."""

    def __init__(self, engine: AsyncEngine, size: int) -> None:
        """Take the engine with so many connections over; `close` disposes of it."""
        self._engine = engine
        self._size = size
        self._closed = False

    async def query(self, fn: Callable[..., Answer], *args: object) -> Answer:
        """Read on one of the pool's connections."""
        if self._closed:  # the engine would open a new one, which nobody closes
            raise StorageUnavailable
        try:
            return await again_if_cut(lambda: self._once(fn, args), self._size)
        except _UNREADABLE as error:
            raise StorageUnavailable from error

    async def _once(self, fn: Callable[..., Answer], args: tuple[object, ...]) -> Answer:
        async with self._engine.connect() as connection:
            return await connection.run_sync(fn, *args)

    async def close(self) -> None:
        """Close the pool."""
        self._closed = True
        await self._engine.dispose()


@dataclass(slots=True)
class _Question:
    row: Any
    answer: asyncio.Future[Any]


class Batcher:
    """Where the same question is asked for many rows: those that wait are asked together.

    What is answered was read after it was asked.
    """

    def __init__(self, reader: Reader) -> None:
        """Ask nothing yet. The reader is taken over; `close` closes it."""
        self._reader = reader
        self._waiting: dict[Callable[..., Any], list[_Question]] = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def ask(
        self, fn: Callable[[Connection, Sequence[Row]], Sequence[Answer]], row: Row
    ) -> Answer:
        """The answer of `fn(connection, rows)` to `row`; raises StorageUnavailable."""
        question = _Question(row, asyncio.get_running_loop().create_future())
        if fn in self._waiting:
            self._waiting[fn].append(question)
        else:
            self._waiting[fn] = [question]
            task = asyncio.create_task(self._serve(fn))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        answer: Answer = await question.answer
        return answer

    async def close(self) -> None:
        """Close the reader."""
        await self._reader.close()

    async def _serve(self, fn: Callable[[Connection, Sequence[Any]], Sequence[Any]]) -> None:
        try:
            while questions := self._waiting[fn][:_MOST_A_CALL]:
                del self._waiting[fn][: len(questions)]
                await self._answer(fn, questions)
        finally:  # whoever asks from now on begins anew, whatever ended this
            _fail(self._waiting.pop(fn), StorageUnavailable())

    async def _answer(
        self,
        fn: Callable[[Connection, Sequence[Any]], Sequence[Any]],
        questions: Sequence[_Question],
    ) -> None:
        """Answer these questions; nobody may wait for ever, whatever is raised."""
        try:
            answers = await self._reader.query(fn, [each.row for each in questions])
            if len(answers) != len(questions):
                raise ValueError(f"{len(answers)} answers to {len(questions)} questions")
        except BaseException as error:
            _fail(questions, error if isinstance(error, Exception) else StorageUnavailable())
            if is_own_cancellation(error):
                raise
        else:
            for each, answer in zip(questions, answers, strict=True):
                with contextlib.suppress(asyncio.InvalidStateError):  # its asker is gone
                    each.answer.set_result(answer)


def _fail(questions: Sequence[_Question], error: Exception) -> None:
    for each in questions:
        with contextlib.suppress(asyncio.InvalidStateError):
            each.answer.set_exception(error)
