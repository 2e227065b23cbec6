"""The one source of time. Everything that knows time takes a `Clock` in its constructor."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(Protocol):
    """Wall-clock time, a monotonic counter and a way to wait."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; for measuring durations."""
        ...

    async def sleep_until(self, when: datetime) -> None:
        """Return once `now()` is at or past `when`."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary point; for measuring durations."""
        return time.monotonic()

    async def sleep_until(self, when: datetime) -> None:
        """Return once `now()` is at or past `when`; a clock set back makes nobody wait longer."""
        left = (when - self.now()).total_seconds()
        latest = self.monotonic() + left
        while left > 0:
            await asyncio.sleep(left)
            left = min((when - self.now()).total_seconds(), latest - self.monotonic())


class Shutdown:
    """One moment by which all parts of a process that was told to stop have to have ended."""

    def __init__(self, within: timedelta, monotonic: Callable[[], float] = time.monotonic) -> None:
        """It was not told yet; then it has so much time, as `monotonic` (seconds) counts it."""
        self._within, self._monotonic = within.total_seconds(), monotonic
        self._ends_at: float | None = None

    def begin(self) -> None:
        """The process was told to stop; only the first time counts."""
        self.left()

    def left(self) -> timedelta:
        """The time that is left; all of it for the first who asks."""
        now = self._monotonic()
        if self._ends_at is None:
            self._ends_at = now + self._within
        return timedelta(seconds=max(0.0, self._ends_at - now))
