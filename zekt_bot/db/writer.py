"""The only way to write: calls that wait share one transaction, and each is answered after it.

`await writer.write(fn, row)` runs `fn(connection, rows) -> answers`, a plain synchronous function
that does no other I/O and keeps nothing between calls, because it may run twice: neighbours with
the same `fn` are one call with many rows, and when a transaction fails before COMMIT its rows run
again one at a time, so that a bad row fails alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy.exc import DBAPIError, OperationalError

from zekt_bot.db import audit, handover, units
from zekt_bot.errors import OutcomeUnknown, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from zekt_bot.clock import Clock
    from zekt_bot.db.connections import Runner
    from zekt_bot.db.handover import Page, Request
    from zekt_bot.domain.audit import Entry

Row = TypeVar("Row")
Answer = TypeVar("Answer")

_CALLS_A_COMMIT = 64
_WEIGHT_A_COMMIT = 125  # what others wait for, if it is ahead of them
_MOST_WAITING = 10_000
_TRIES = 4  # of a unit that another process's crossed: together, then each row alone
_SQLITE_FAULTS = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}


@dataclass(slots=True)
class Committed:
    """What a transaction did beside its rows: topics to wake, rows leased for the worker, audit."""

    topics: set[str] = field(default_factory=set)
    pages: Mapping[str, Page] = field(default_factory=dict)
    entries: Sequence[Entry] = ()


class _Answer(Protocol):
    """Where a call's answer goes: a future, or a place among others'."""

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: Exception, /) -> None: ...


@dataclass(slots=True)
class _Call:
    fn: Callable[[Connection, Sequence[Any]], Sequence[Any]]
    row: Any
    weight: int
    answer: _Answer


class _Together:
    """Answers that are awaited together: one future for all of them."""

    def __init__(self, count: int) -> None:
        self.all: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._answers: list[Any] = [None] * count
        self._left = count

    def put(self, number: int, answer: Any) -> None:
        """The answer of this number is there; with the last one all are."""
        self._answers[number] = answer
        self._left -= 1
        if not self._left:
            self.all.set_result(self._answers)


@dataclass(slots=True)
class _Place:
    """One call's among them."""

    together: _Together
    number: int

    def set_result(self, result: Any, /) -> None:
        self.together.put(self.number, result)

    def set_exception(self, exception: Exception, /) -> None:
        """What it failed with is its answer."""
        self.together.put(self.number, exception)


class _Crossed(StorageUnavailable):
    """A deadlock: this and another process's unit wait for each other's rows; try again."""


class Backend(Protocol):
    """Runs a function in one transaction; what differs between the two databases."""

    async def run(self, work: Callable[[Connection], list[Any]]) -> list[Any]:
        """Begin, call `work`, commit. Raises StorageUnavailable and OutcomeUnknown."""
        ...

    async def close(self) -> None:
        """Give back the connections."""
        ...


def _unavailable(error: DBAPIError) -> bool:
    """Whether the database, not the row, is at fault: locked, full, read-only, unreachable."""
    sqlite = getattr(error.orig, "sqlite_errorcode", None)
    if sqlite is not None:  # its low byte is the class; SQL mistakes are OperationalError too
        return sqlite & 0xFF in _SQLITE_FAULTS
    code = str(getattr(error.orig, "sqlstate", None) or "")
    if code[:2] in {"08", "53", "57", "25", "40", "55"}:
        return True
    return not code and (error.connection_invalidated or isinstance(error, OperationalError))


class SqliteBackend:
    """One connection in a thread of its own."""

    def __init__(self, connection: Runner) -> None:
        """Take the one connection over; `close` closes it."""
        self._connection = connection

    async def run(self, work: Callable[[Connection], list[Any]]) -> list[Any]:
        """Run in the writer's thread. SQLite's failed COMMIT is a rollback: nothing is unknown."""
        try:
            return await self._connection.run(_begun, work)
        except DBAPIError as error:
            if _unavailable(error):
                raise StorageUnavailable(
                    f"The database cannot store this now ({error.orig}); try again."
                ) from error
            raise

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


def _begun(connection: Connection, work: Callable[[Connection], list[Any]]) -> list[Any]:
    with connection.begin():
        return work(connection)


class PostgresqlBackend:
    """One connection by asyncpg."""

    def __init__(self, connection: Runner) -> None:
        """Take the one connection over; `close` closes it."""
        self._connection = connection

    async def run(self, work: Callable[[Connection], list[Any]]) -> list[Any]:
        """Run in one transaction; a connection lost at COMMIT leaves the outcome unknown."""
        try:
            return await self._connection.run(_committed, work)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == "40P01":
                raise _Crossed from error
            if _unavailable(error):
                raise StorageUnavailable from error
            raise
        except OSError as error:
            raise StorageUnavailable from error

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()


def _committed(connection: Connection, work: Callable[[Connection], list[Any]]) -> list[Any]:
    transaction = connection.begin()
    answers = work(connection)
    try:
        transaction.commit()
    except (DBAPIError, OSError) as error:
        raise OutcomeUnknown from error
    return answers


class Writer:
    """The queue before the database. Functions are never reordered."""

    def __init__(
        self,
        backend: Backend,
        clock: Clock,
        request: Callable[[str], Request | None],
        committed: Callable[[Committed], None],
    ) -> None:
        """`request`: with what to lease rows of a topic now; `committed` hears each commit."""
        self._backend = backend
        self._clock = clock
        self._request = request
        self._committed = committed
        self._waiting: deque[_Call] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Begin to take calls."""
        self._task = asyncio.create_task(self._loop(), name="zekt-writer")

    async def close(self) -> None:
        """Finish what waits, then give back the connections."""
        self._closing = True
        self._wake.set()
        if self._task:
            await self._task
        await self._backend.close()

    async def write(
        self,
        fn: Callable[[Connection, Sequence[Row]], Sequence[Answer]],
        row: Row,
        *,
        weight: int = 1,
    ) -> Answer:
        """Write `row` with `fn`; returns its answer once it is committed.

        `weight`: how many rows of the database it makes; one transaction makes at most 125, or one
        call's.

        Raises:
            StorageUnavailable: nothing was stored.
            OutcomeUnknown: the connection was lost at COMMIT.
        """
        self._check_room(1)
        answer_to: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(fn, row, weight, answer_to))
        self._wake.set()
        answer: Answer = await answer_to
        return answer

    async def write_all(
        self,
        fn: Callable[[Connection, Sequence[Row]], Sequence[Answer]],
        rows: Sequence[tuple[Row, int]],
    ) -> list[Answer | Exception]:
        """Write each row, given with its weight, as `write` does; returns when all have ended.

        A row that fails fails alone: its answer is what `write` would have raised.

        Raises:
            StorageUnavailable: there is no room for them; nothing was stored.
        """
        if not rows:
            return []
        self._check_room(len(rows))
        together = _Together(len(rows))
        self._waiting += (
            _Call(fn, row, weight, _Place(together, number))
            for number, (row, weight) in enumerate(rows)
        )
        self._wake.set()
        return await together.all

    def _check_room(self, count: int) -> None:
        if self._closing or len(self._waiting) + count > _MOST_WAITING:
            raise StorageUnavailable

    async def _loop(self) -> None:
        while True:
            while self._waiting:
                await self._commit(self._next())
            if self._closing:
                return
            self._wake.clear()
            await self._wake.wait()

    def _next(self) -> list[_Call]:
        """The first of those that wait, as many as one transaction takes."""
        calls = [self._waiting.popleft()]
        room = _WEIGHT_A_COMMIT - calls[0].weight
        while self._waiting and len(calls) < _CALLS_A_COMMIT:
            room -= self._waiting[0].weight
            if room < 0:
                break
            calls.append(self._waiting.popleft())
        return calls

    async def _commit(self, calls: list[_Call], tries: int = _TRIES) -> None:
        try:
            await self._run(calls)
        except Exception as error:
            crossed = isinstance(error, _Crossed) and tries > 0
            if crossed or (len(calls) > 1 and not isinstance(error, StorageUnavailable)):
                for call in calls:
                    await self._commit([call], tries - 1)
            else:
                _fail(calls, error)

    async def _run(self, calls: list[_Call]) -> None:
        done = Committed()

        def work(connection: Connection) -> list[Any]:
            unit = units.begin(connection)
            answers: list[Any] = []
            for fn, neighbours in _grouped(calls):
                units.run_left(connection)  # what the one before it left
                given = fn(connection, [call.row for call in neighbours])
                if len(given) != len(neighbours):  # found later, it would run what is committed
                    raise ValueError(f"{len(given)} answers to {len(neighbours)} rows")
                answers.extend(given)
            audit.flush(connection, self._clock.now())
            done.pages = handover.finish(connection, unit, self._request)
            units.notify(connection)
            done.topics, done.entries = unit.topics, unit.entries
            return answers

        answers = await self._backend.run(work)
        self._committed(done)
        for call, answer in zip(calls, answers, strict=True):
            with contextlib.suppress(asyncio.InvalidStateError):  # its caller is gone
                call.answer.set_result(answer)


def _grouped(
    calls: list[_Call],
) -> list[tuple[Callable[[Connection, Sequence[Any]], Sequence[Any]], list[_Call]]]:
    groups: list[tuple[Callable[[Connection, Sequence[Any]], Sequence[Any]], list[_Call]]] = []
    for call in calls:
        if groups and groups[-1][0] == call.fn:
            groups[-1][1].append(call)
        else:
            groups.append((call.fn, [call]))
    return groups


def _fail(calls: list[_Call], error: Exception) -> None:
    for call in calls:
        with contextlib.suppress(asyncio.InvalidStateError):
            call.answer.set_exception(error)
