"""Bounds of time for what nearly always ends in time: one timer for all that is under way.

`asyncio.timeout` sets a timer and takes it back each time, which costs as much as what is bounded.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_EVERY = 1.0  # second


@dataclass(slots=True, eq=False)
class _Bound:
    """One call. `cancelling`: how often its task was cancelled before. `over`: now by us too."""

    task: asyncio.Task[object]
    due_at: float
    cancelling: int
    over: bool = False


class Deadlines:
    """Cancels what takes too long. While anything is under way, it looks each second."""

    def __init__(self) -> None:
        """Nothing is under way."""
        self._bounds: set[_Bound] = set()
        self._loop: asyncio.AbstractEventLoop | None = None  # in which it looks next, and when
        self._look_at = 0.0

    async def within(self, seconds: float, call: Callable[[], Awaitable[T]]) -> T:
        """What `call` answers, awaited in the caller's own task.

        Raises:
            TimeoutError: it took too long and was cancelled.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:
            raise RuntimeError("Only a task can be cancelled.")
        bound = _Bound(task, loop.time() + seconds, task.cancelling())
        self._bounds.add(bound)
        if self._loop is not loop or bound.due_at < self._look_at:
            self._look_by(loop, bound.due_at)
        try:
            return await call()
        except asyncio.CancelledError:
            if bound.over and task.cancelling() == bound.cancelling + 1:
                raise TimeoutError from None
            raise
        finally:
            self._bounds.discard(bound)
            if bound.over:
                task.uncancel()

    def _look_by(self, loop: asyncio.AbstractEventLoop, due_at: float) -> None:
        self._loop, self._look_at = loop, min(due_at, loop.time() + _EVERY)
        loop.call_at(self._look_at, self._look, loop, self._look_at)

    def _look(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if at != self._look_at:  # it was to look sooner
            return
        self._loop = None
        for bound in [each for each in self._bounds if each.due_at <= loop.time()]:
            self._bounds.discard(bound)
            bound.over = True
            bound.task.cancel()
        if self._bounds:
            self._look_by(loop, min(bound.due_at for bound in self._bounds))
