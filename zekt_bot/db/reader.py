"""Reading: connections of its own, and questions that wait share one call.

`await reader.query(fn, *args)` runs `fn(connection, *args)`, plain and synchronous like a write.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError

from zekt_bot.errors import StorageUnavailable, is_own_cancellation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.connections import Runner

Row = TypeVar("Row")
Answer = TypeVar("Answer")

_MOST_A_CALL = 512


class Reader:
    """Reads on connections that never wait for the writer."""

    def __init__(self, connections: Runner) -> None:
        """Take the connections over; `close` closes them."""
        self._connections = connections

    async def query(self, fn: Callable[..., Answer], *args: object) -> Answer:
        """Read with `fn(connection, *args)`; raises StorageUnavailable."""
        try:
            return await self._connections.run(fn, *args)
        except (DBAPIError, OSError) as error:
            raise StorageUnavailable from error

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()


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
