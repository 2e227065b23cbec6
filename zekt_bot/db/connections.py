"""Connections that are kept in hand, and run one plain function after the other.

At rest, to take a connection out of its pool and to give it back costs more than a statement.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from queue import SimpleQueue
from threading import Thread
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from zekt_bot.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Answer = TypeVar("Answer")

_PATIENCE = 5  # seconds for a connection that others use
_MAY_GO_ON = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_Call = tuple["Callable[..., Any]", tuple[object, ...], "asyncio.Future[Any]"]


class Runner(Protocol):
    """What runs functions on connections that are kept in hand."""

    def run(self, fn: Callable[..., Answer], *args: object) -> Awaitable[Answer]:
        """What `fn(connection, *args)` answers or raises; a transaction that it leaves is undone.

        Raises:
            StorageUnavailable: they are closed.
            TimeoutError: others keep all of them.
        """
        ...

    async def close(self) -> None:
        """Close them."""
        ...


class Threads:
    """SQLite's: each belongs to a thread, so that a locked file cannot stop the loop.

    A hop through the standard library's executor takes twice the time.
    """

    def __init__(self, engine: Engine, size: int, name: str) -> None:
        """`size` threads at most; each begins when those before it are busy."""
        self._engine, self._size, self._name = engine, size, name
        self._calls: SimpleQueue[_Call | asyncio.Future[None]] = SimpleQueue()
        self._threads = 0
        self._under_way = 0
        self._closed = False

    def run(self, fn: Callable[..., Answer], *args: object) -> asyncio.Future[Answer]:
        """As `Runner.run`; calls begin in their order."""
        if self._closed:
            raise StorageUnavailable
        if self._threads < min(self._size, self._under_way + 1):
            name = f"{self._name}-{self._threads}"
            try:
                Thread(target=self._serve, name=name, daemon=True).start()
                self._threads += 1
            except RuntimeError:
                if not self._threads:  # the others take it
                    raise
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._under_way += 1
        self._calls.put((fn, args, answer))
        return answer

    async def close(self) -> None:
        """Let what was asked for end, then close the connections."""
        self._closed = True
        loop = asyncio.get_running_loop()
        ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(self._threads)]
        self._threads = 0
        for end in ends:
            self._calls.put(end)
        await asyncio.gather(*ends)

    def _serve(self) -> None:
        own = _Own(self._engine)
        while isinstance(call := self._calls.get(), tuple):
            self._answer(own, *call)
            del call  # what it was about may be large, and the next one may be long in coming
        own.close()
        self._tell(call, None, None)

    def _answer(
        self,
        own: _Own,
        fn: Callable[..., Any],
        args: tuple[object, ...],
        answer: asyncio.Future[Any],
    ) -> None:
        given, error = (None, None) if answer.cancelled() else own.call(fn, args)
        self._tell(answer, given, error)

    def _tell(self, answer: asyncio.Future[Any], given: Any, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            answer.get_loop().call_soon_threadsafe(self._hear, answer, given, error)

    def _hear(self, answer: asyncio.Future[Any], given: Any, error: BaseException | None) -> None:
        self._under_way -= 1
        if answer.done():  # cancelled
            return
        if error is None:
            answer.set_result(given)
        else:
            answer.set_exception(error)


class _Own:
    """A thread's connection, made when it is wanted and whenever the one before is lost."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def call(
        self, fn: Callable[..., Any], args: tuple[object, ...]
    ) -> tuple[Any, BaseException | None]:
        """What `fn` answers, or raises, whatever that is: nobody may wait for ever."""
        given, error = self._called(fn, args)
        if error is not None:
            _forget_frames(error)
        self._rest()
        return given, error

    def _called(
        self, fn: Callable[..., Any], args: tuple[object, ...]
    ) -> tuple[Any, BaseException | None]:
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            return fn(self._connection, *args), None
        except StopIteration as raised:  # no future takes it
            error = RuntimeError("a call raised StopIteration")
            error.__cause__ = raised
            return None, error
        except BaseException as raised:
            return None, raised

    def _rest(self) -> None:
        """Undo what a call has left open. A connection on which that fails is given up."""
        if self._connection is None:
            return
        with contextlib.suppress(Exception):
            if self._connection.in_transaction():
                self._connection.rollback()
            raw: Any = self._connection.connection.dbapi_connection
            if not raw.in_transaction:
                return
        self.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()


def _forget_frames(error: BaseException) -> None:
    """Let go of what the frames of an error hold, and those of its causes.

    A cursor among it would not be at its end, and its connection would go on reading what was there
    when it began.
    """
    chain: dict[int, BaseException] = {}
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is not None and id(each) not in chain:
            chain[id(each)] = each
            left += each.__cause__, each.__context__
            for frame, _ in walk_tb(each.__traceback__):
                if not frame.f_code.co_flags & _MAY_GO_ON:
                    with contextlib.suppress(RuntimeError):  # it still runs
                        frame.clear()


class Connections:
    """PostgreSQL's: asyncpg through SQLAlchemy's greenlet bridge."""

    def __init__(self, engine: AsyncEngine, size: int) -> None:
        """`size`: as many as the engine has."""
        self._engine, self._size = engine, size
        self._idle: list[AsyncConnection] = []
        self._room = asyncio.Semaphore(size)
        self._closed = False

    async def run(self, fn: Callable[..., Answer], *args: object) -> Answer:
        """As `Runner.run`; anew if its connection was cut before it, as all may be.

        To ask each before its use whether it is there would be one more round trip.
        """
        if self._room.locked():  # else it needs no alarm
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
        if self._closed:
            raise StorageUnavailable
        connection = self._idle.pop() if self._idle else await self._connected()
        try:
            answer = await connection.run_sync(_undone, fn, args)
        except BaseException:
            await asyncio.shield(asyncio.create_task(self._give_back(connection)))
            raise
        if self._closed:
            await self._give_back(connection)
        else:
            self._idle.append(connection)
        return answer

    async def _connected(self) -> AsyncConnection:
        try:
            return await self._engine.connect()
        except NoConnectionFree as error:  # one that was given up is still on its way back
            raise TimeoutError from error

    async def _give_back(self, connection: AsyncConnection) -> None:
        if self._closed:  # its pool is gone
            await connection.invalidate()
        await connection.close()

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
