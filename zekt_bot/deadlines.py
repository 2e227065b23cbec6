"""Bounds of time for what nearly always ends in time: one timer for all that is under way.

`asyncio.timeout` sets a timer and takes it back each time, which costs as much as what is bounded.
"""

from __future__ import annotations

import asyncio

_EVERY = 1.0  # second


class Deadlines:
    """Cancels what takes too long. While anything is under way, it looks each second."""

    def __init__(self) -> None:
        """Nothing is under way."""
        self._bounds: set[_Bound] = set()
        self._loop: asyncio.AbstractEventLoop | None = None  # in which it looks next, and when
        self._look_at = 0.0

    def within(self, seconds: float) -> _Bound:
        """In `with`, as `asyncio.timeout`: raises TimeoutError where what is there is cancelled."""
        return _Bound(self, seconds)

    def begin(self, bound: _Bound, loop: asyncio.AbstractEventLoop) -> None:
        """Look after `bound` from now on."""
        self._bounds.add(bound)
        if self._loop is not loop or bound.due_at < self._look_at:
            self._look_by(loop, bound.due_at)

    def end(self, bound: _Bound) -> None:
        """Look after it no more."""
        self._bounds.discard(bound)

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


class _Bound:
    """What is under way in a task. `over`: it took too long, and the task was cancelled."""

    __slots__ = ("_cancelling", "_of", "_seconds", "due_at", "over", "task")

    def __init__(self, of: Deadlines, seconds: float) -> None:
        self._of = of
        self._seconds = seconds
        self.over = False

    def __enter__(self) -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is None:
            raise RuntimeError("Only a task can be cancelled.")
        self.task, self._cancelling = task, task.cancelling()
        self.due_at = loop.time() + self._seconds
        self._of.begin(self, loop)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._of.end(self)
        called_off_by_us_alone = self.over and self.task.uncancel() <= self._cancelling
        if called_off_by_us_alone and kind is asyncio.CancelledError:
            raise TimeoutError from None
