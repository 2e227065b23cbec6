"""Tasks that share what is to be done: so many at most, whatever the work."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from zekt_bot.errors import is_own_cancellation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

_log = structlog.get_logger()

T = TypeVar("T")


class Pool(Generic[T]):
    """Tasks that take one row after the other from a short queue, and end when it is empty.

    A row's lease runs from its claim, so no more are held than the tasks soon come to.
    """

    def __init__(
        self, tasks: int, held: int, page: int, work: Callable[[T], Awaitable[None]]
    ) -> None:
        """`held`: rows at most, under way or waiting; `page`: how many come at once."""
        self.freed = asyncio.Event()  # set when a page fits again
        self._size, self._most, self._page, self._work = tasks, held, page, work
        self._waiting: deque[T] = deque()
        self._running: dict[asyncio.Task[None] | None, T] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def room(self) -> int:
        """How many more may be given."""
        return self._most - len(self._running) - len(self._waiting)

    def give(self, row: T) -> None:
        """Let a task work on it as soon as one is free."""
        self._waiting.append(row)
        if len(self._tasks) < self._size:
            self._tasks.add(asyncio.create_task(self._run(), name="zekt-pool"))

    async def _run(self) -> None:
        own = asyncio.current_task()
        while self._waiting:
            row = self._running[own] = self._waiting.popleft()
            try:
                await self._work(row)
            except (Exception, asyncio.CancelledError) as error:
                if is_own_cancellation(error):
                    self._tasks -= {own}
                    raise
                _log.exception("worker.failed")
            finally:
                del self._running[own]
                if self.room >= self._page or not self._running:
                    self.freed.set()
        self._tasks -= {own}  # at once: who gives the next row counts them

    def withdraw(self) -> list[T]:
        """Take back what waits."""
        withdrawn = list(self._waiting)
        self._waiting.clear()
        return withdrawn

    async def drain(self, timeout: timedelta) -> list[T]:
        """Let what is under way end within `timeout`; answers what did not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout.total_seconds()):
                while self._running:
                    self.freed.clear()
                    await self.freed.wait()
        left, tasks = list(self._running.values()), list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return left
