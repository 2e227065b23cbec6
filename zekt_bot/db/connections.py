"""Connections that are kept in hand, and run one plain function after the other.

At rest, to take a connection out of its pool and to give it back costs more than a statement.
"""

from __future__ import annotations

import asyncio
import contextlib
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Answer = TypeVar("Answer")

_PATIENCE = 5  # seconds for a connection that others use
_Call = tuple["Callable[..., Any]", tuple[object, ...], "asyncio.Future[Any]"]


class Threads:
    """SQLite's: each belongs to a thread, so that a locked file cannot stop the loop.

    A hop through the standard library's executor takes twice the time.
    """

    def __init__(self, engine: Engine, size: int, name: str) -> None:
        """`size` threads at most; each begins when those before it are busy."""
        self._engine, self._size, self._name = engine, size, name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._under_way = 0

    def run(self, fn: Callable[..., Answer], *args: object) -> asyncio.Future[Answer]:
        """What `fn(connection, *args)` answers or raises; a transaction that it leaves is undone.

        Calls begin in their order.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._under_way += 1
        if len(self._threads) < min(self._size, self._under_way):
            name = f"{self._name}-{len(self._threads)}"
            self._threads.append(Thread(target=self._serve, name=name, daemon=True))
            self._threads[-1].start()
        self._calls.put((fn, args, answer))
        return answer

    async def close(self) -> None:
        """Let what was asked for end, then close the connections."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _serve(self) -> None:
        connection: Connection | None = None
        while call := self._calls.get():
            connection = self._answered(connection, *call)
            del call  # what it was about may be large, and the next one may be long in coming
        if connection:
            connection.close()

    def _answered(
        self,
        connection: Connection | None,
        fn: Callable[..., Any],
        args: tuple[object, ...],
        answer: asyncio.Future[Any],
    ) -> Connection | None:
        """The connection for the next call."""
        given, error = None, None
        try:
            connection = connection or self._engine.connect()
            given = fn(connection, *args)
        except BaseException as raised:  # whoever waits must hear of it, whatever it is
            error = raised
        if connection and not _at_rest(connection):
            connection.close()
            connection = None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            answer.get_loop().call_soon_threadsafe(self._tell, answer, given, error)
        return connection

    def _tell(self, answer: asyncio.Future[Any], given: Any, error: BaseException | None) -> None:
        self._under_way -= 1
        if answer.done():  # cancelled
            return
        if error:
            answer.set_exception(error)
        else:
            answer.set_result(given)


def _at_rest(connection: Connection) -> bool:
    """Whether no transaction is left, once what is open was undone; else it is good for nothing."""
    try:
        if connection.in_transaction():
            connection.rollback()
        raw: Any = connection.connection.dbapi_connection
    except SQLAlchemyError:
        return False
    return not raw.in_transaction


class Connections:
    """PostgreSQL's: asyncpg through SQLAlchemy's greenlet bridge."""

    def __init__(self, engine: AsyncEngine, size: int) -> None:
        """`size`: as many as the engine has."""
        self._engine, self._size = engine, size
        self._idle: list[AsyncConnection] = []
        self._room = asyncio.Semaphore(size)
        self._closed = False

    async def run(self, fn: Callable[..., Answer], *args: object) -> Answer:
        """What `fn(connection, *args)` answers; a transaction that it leaves is undone.

        It is run anew if its connection was cut before it, as all kept ones may be: to ask each
        before its use whether it is there would be one more round trip.

        Raises:
            TimeoutError: others keep all connections.
        """
        if self._room.locked():
            async with asyncio.timeout(_PATIENCE):
                await self._room.acquire()
        else:
            await self._room.acquire()
        try:
            for _ in range(self._size):
                try:
                    return await self._once(fn, args)
                except DBAPIError as error:
                    if not error.connection_invalidated:
                        raise
            return await self._once(fn, args)
        finally:
            self._room.release()

    async def _once(self, fn: Callable[..., Answer], args: tuple[object, ...]) -> Answer:
        connection = self._idle.pop() if self._idle else await self._engine.connect()
        try:
            answer = await connection.run_sync(_undone, fn, args)
        except BaseException:
            await asyncio.shield(asyncio.create_task(connection.close()))
            raise
        if self._closed:  # its pool is gone
            await connection.invalidate()
            await connection.close()
        else:
            self._idle.append(connection)
        return answer

    async def close(self) -> None:
        """Close those that nobody uses; the others are as soon as they are free."""
        self._closed = True
        while self._idle:
            await self._idle.pop().close()
        await self._engine.dispose()


def _undone(connection: Connection, fn: Callable[..., Answer], args: tuple[object, ...]) -> Answer:
    answer = fn(connection, *args)
    if connection.in_transaction():
        connection.rollback()
    return answer
