"""A clock that moves when told: the `Clock` of tests."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


class ManualClock:
    """Stands still until `advance`; who sleeps until a moment wakes when it is reached.

    For the tasks of one event loop.
    """

    def __init__(self, start: datetime = START) -> None:
        """Stand at `start`, which must be aware."""
        self._start = self._now = start.astimezone(UTC)
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the start; who sets the clock back takes none of them away."""
        return (self._now - self._start).total_seconds()

    async def sleep_until(self, when: datetime) -> None:
        """Return once `now()` is at or past `when`."""
        if when <= self._now:
            await asyncio.sleep(0)
            return
        sleeper = (when, asyncio.get_running_loop().create_future())
        self._sleepers.append(sleeper)
        try:
            await sleeper[1]
        finally:
            self._sleepers = [one for one in self._sleepers if one[1] is not sleeper[1]]

    def advance(self, duration: timedelta) -> None:
        """Move forward and wake whose time has come; they run at the caller's next await."""
        self.move_to(self._now + duration)

    def move_to(self, when: datetime) -> None:
        """Move to a moment; set back, it makes nobody wait longer, as the system's clock does."""
        back = min(when - self._now, timedelta())
        self._now, self._start = when.astimezone(UTC), self._start + back
        self._sleepers = [(until + back, sleeper) for until, sleeper in self._sleepers]
        for sleeper in sorted(self._sleepers, key=lambda one: one[0]):
            if sleeper[0] <= self._now:
                self._sleepers.remove(sleeper)
                if not sleeper[1].done():
                    sleeper[1].set_result(None)

    @property
    def waiting_until(self) -> list[datetime]:
        """The moments that somebody sleeps until, the nearest first."""
        return sorted(when for when, _ in self._sleepers)
