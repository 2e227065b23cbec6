"""What a worker knows of one queue: rows that are leased for it, and when to look for more."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime, timedelta

    from zekt_bot.clock import Clock
    from zekt_bot.db.handover import Leased, Page, Request


class Queue:
    """The worker's end of `topic`; a `Taker` of what commits of this process hand over."""

    def __init__(
        self, topic: str, clock: Clock, poll: timedelta, offer: Callable[[], Request | None]
    ) -> None:
        """`offer` says with what to lease rows now, or None; `poll`: how long it may be quiet."""
        self.topic = topic
        self.woken = asyncio.Event()
        self._clock, self._poll, self._offer = clock, poll, offer
        self._rows: deque[Leased] = deque()
        self._look_at: datetime | None = None
        self._alarm: asyncio.Task[None] | None = None
        self._rings_at: datetime | None = None
        self.idle = False
        """Whether its loop waits: while it works, what comes due gathers for a whole page."""

    def __len__(self) -> int:
        """How many rows wait in memory."""
        return len(self._rows)

    @property
    def look_at(self) -> datetime:
        """When to look for due rows."""
        return self._look_at or self._clock.now()

    def request(self) -> Request | None:
        """What commits lease rows with."""
        return self._offer() if self.idle and not self._rows else None

    def take(self, page: Page) -> None:
        """Rows were leased; whoever was told to look meanwhile still looks."""
        self._rows.extend(page.rows)
        if self._look_at is not None:
            self._plan(page)
        self.woken.set()

    def wake(self) -> None:
        """Look at once."""
        self._look_at = None
        self.woken.set()

    def next(self, limit: int) -> list[Leased]:
        """The rows to go on with; one whose lease ran out is due again, and another's."""
        now = self._clock.now()
        some = [self._rows.popleft() for _ in range(min(limit, len(self._rows)))]
        return [row for row in some if row.until > now]

    async def look(self, claim: Callable[[], Awaitable[Page]]) -> list[Leased]:
        """Lease rows by itself."""
        self._look_at = self._latest()
        try:
            page = await claim()
        except BaseException:
            self._look_at = None
            raise
        if self._look_at is not None:
            self._plan(page)
        return list(page.rows)

    async def rest(self) -> None:
        """Wait until rows were handed over or may be due."""
        self._set_alarm(self.look_at)
        self.idle = True
        try:
            await self.woken.wait()
        finally:
            self.idle = False

    def _set_alarm(self, when: datetime) -> None:
        """Wake at `when` at the latest. One that is to ring sooner stays: a look at the time costs
        less than a new task after each event.
        """
        if self._rings_at and self._clock.now() < self._rings_at <= when:
            return
        self.stop_alarm()
        self._rings_at = when
        self._alarm = asyncio.create_task(self._clock.sleep_until(when), name="zekt-alarm")
        self._alarm.add_done_callback(self._ring)

    def _ring(self, alarm: asyncio.Task[None]) -> None:
        if alarm is self._alarm:
            self._alarm = self._rings_at = None
            self.woken.set()

    def stop_alarm(self) -> None:
        """Wake nobody by time until the next rest."""
        alarm, self._alarm, self._rings_at = self._alarm, None, None
        if alarm:
            alarm.cancel()

    def withdraw(self) -> list[Leased]:
        """Take back what waits."""
        rows, self._rows = list(self._rows), deque()
        return rows

    def _plan(self, page: Page) -> None:
        latest = self._latest()
        self._look_at = min(page.next_due, latest) if page.next_due else latest

    def _latest(self) -> datetime:
        return self._clock.now() + self._poll
