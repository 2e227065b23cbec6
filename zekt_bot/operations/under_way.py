"""What goes on to its end, also when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import timedelta


class UnderWay:
    """Work of this process, by name: begun once however many want it, and cut off by none of them.

    Source: https://docs.python.org/3/library/asyncio-task.html#asyncio.create_task
    """

    def __init__(self) -> None:
        """Nothing is."""
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def once(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """The work of this name that is under way, or `work` begun. Whoever waits hears its end."""
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._end(name, done))
        return task

    async def ended(self, within: timedelta) -> None:
        """Wait until nothing is, so long at most: who stops cuts off the rest."""
        if self._tasks:
            await asyncio.wait([*self._tasks.values()], timeout=within.total_seconds())

    def _end(self, name: str, task: asyncio.Task[None]) -> None:
        del self._tasks[name]
        if not task.cancelled():
            task.exception()  # told to those who wait; asyncio need not complain of it
