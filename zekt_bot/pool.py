"""Tasks that share what is to be done: a fixed number of them, whatever the work."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from zekt_bot.errors import is_own_cancellation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

_log = structlog.get_logger()

T = TypeVar("T")


class Pool(Generic[T]):
    """A fixed number of tasks that take one row after the other from a short queue.

    A row's lease runs from its claim, so no more are held than the tasks soon come to.
    """

    def __init__(
        self, tasks: int, held: int, page: int, work: Callable[[T], Awaitable[None]]
    ) -> None:
        """`held`: how many rows at most, under way or waiting; `page`: how many come at once."""
        self.freed = asyncio.Event()  # set when a page fits again
        self._size, self._most, self._page, self._work = tasks, held, page, work
        self._waiting: asyncio.Queue[T] = asyncio.Queue()
        self._running: dict[asyncio.Task[None] | None, T] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def room(self) -> int:
        """How many more may be given."""
        return self._most - len(self._running) - self._waiting.qsize()

    def give(self, row: T) -> None:
        """Let a task work on it as soon as one is free."""
        while len(self._tasks) < self._size:  # at first, and where one was cancelled
            task = asyncio.create_task(self._run(), name="zekt-pool")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._waiting.put_nowait(row)

    async def _run(self) -> None:
        own = asyncio.current_task()
        while True:
            row = self._running[own] = await self._waiting.get()
            try:
                await self._work(row)
            except (Exception, asyncio.CancelledError) as error:
                if is_own_cancellation(error):
                    raise
                _log.exception("worker.failed")
            finally:
                del self._running[own]
                if self.room >= self._page or not self._running:
                    self.freed.set()

    def withdraw(self) -> list[T]:
        """Take back what waits."""
        return [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]

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
