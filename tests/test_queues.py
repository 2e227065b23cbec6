"""A worker's end of a queue."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.db.rows import DEADLINE
from zekt_bot.clock import SystemClock
from zekt_bot.db.handover import Leased, Page
from zekt_bot.db.leases import Claim
from zekt_bot.errors import StorageUnavailable
from zekt_bot.queues import Queue
from zekt_bot.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from zekt_bot.clock import Clock

_SECOND = timedelta(seconds=1)
_POLL = 5 * _SECOND


def queue_of(clock: Clock, poll: timedelta = _POLL) -> Queue:
    now = clock.now()
    claim = Claim("runs", now, now + 60 * _SECOND, "lea_1", 64)
    return Queue("runs", clock, poll, lambda: claim)


def page(clock: Clock, *ids: str, next_in: timedelta | None = None) -> Page:
    now = clock.now()
    rows = [Leased(each, "lea_1", now + 60 * _SECOND) for each in ids]
    return Page(rows, None if next_in is None else now + next_in)


async def test_only_an_idle_worker_with_nothing_in_hand_is_handed_rows() -> None:
    clock = ManualClock()
    queue = queue_of(clock)
    assert queue.request() is None
    queue.idle = True
    assert queue.request() is not None
    queue.take(page(clock, "run_1"))
    assert queue.woken.is_set()
    assert queue.request() is None
    assert [row.id for row in queue.next(64)] == ["run_1"]
    assert queue.request() is not None


async def test_a_row_whose_lease_ran_out_in_memory_is_anothers() -> None:
    clock = ManualClock()
    queue = queue_of(clock)
    queue.take(page(clock, "run_1"))
    clock.advance(60 * _SECOND)
    queue.take(page(clock, "run_2"))
    assert [row.id for row in queue.next(64)] == ["run_2"]


async def test_it_looks_at_its_start_when_the_next_is_due_and_after_a_quiet_time() -> None:
    clock = ManualClock()
    queue = queue_of(clock)
    assert queue.look_at == clock.now()

    async def nothing() -> Page:
        return page(clock)

    async def later() -> Page:
        return page(clock, next_in=_SECOND)

    assert await queue.look(nothing) == []
    assert queue.look_at == clock.now() + _POLL
    await queue.look(later)
    assert queue.look_at == clock.now() + _SECOND
    queue.take(page(clock, next_in=2 * _SECOND))
    assert queue.look_at == clock.now() + 2 * _SECOND


async def test_who_is_woken_while_it_looks_looks_again() -> None:
    clock = ManualClock()
    queue = queue_of(clock)

    async def meanwhile() -> Page:
        queue.wake()
        return page(clock, "run_1")

    assert [row.id for row in await queue.look(meanwhile)] == ["run_1"]
    assert queue.look_at == clock.now()
    queue.take(page(clock))  # of a commit that may be older than what it was woken for
    assert queue.look_at == clock.now()


async def test_a_look_that_fails_is_done_again() -> None:
    clock = ManualClock()
    queue = queue_of(clock)

    async def fails() -> Page:
        raise StorageUnavailable

    with pytest.raises(StorageUnavailable):
        await queue.look(fails)
    assert queue.look_at == clock.now()


async def test_what_waits_can_be_taken_back() -> None:
    clock = ManualClock()
    queue = queue_of(clock)
    queue.take(page(clock, "run_1", "run_2"))
    assert [row.id for row in queue.withdraw()] == ["run_1", "run_2"]
    assert queue.next(64) == []


async def test_it_rests_until_rows_are_handed_over_or_may_be_due() -> None:
    clock = ManualClock()
    queue = queue_of(clock)

    async def nothing() -> Page:
        return page(clock, next_in=_SECOND)

    async def rested(ring: Callable[[], None]) -> None:
        queue.woken.clear()
        resting = asyncio.create_task(queue.rest())
        await asyncio.sleep(0)
        assert queue.idle
        assert not resting.done()
        ring()
        await asyncio.wait_for(resting, DEADLINE)
        assert not queue.idle

    await queue.look(nothing)
    await rested(lambda: queue.take(page(clock, "run_1")))
    await rested(lambda: clock.advance(_SECOND))
    queue.stop_alarm()


async def test_rest_after_rest_shares_one_alarm_which_only_an_earlier_moment_replaces() -> None:
    clock = ManualClock()
    queue = queue_of(clock)
    begun = clock.now()

    async def rest(next_in: timedelta) -> list[datetime]:
        """Rest after a look, until woken; answers what the clock was asked to wait for."""

        async def look() -> Page:
            return page(clock, next_in=next_in)

        await queue.look(look)
        queue.woken.clear()
        resting = asyncio.create_task(queue.rest())
        await asyncio.sleep(0)  # it rests
        await asyncio.sleep(0)  # and its alarm sleeps
        found = clock.waiting_until
        queue.woken.set()
        await resting
        return found

    assert await rest(2 * _SECOND) == [begun + 2 * _SECOND]
    assert await rest(4 * _SECOND) == [begun + 2 * _SECOND]
    assert await rest(_SECOND) == [begun + _SECOND]
    clock.move_to(begun - 60 * _SECOND)  # set back: nobody waits longer
    assert await rest(_SECOND / 2) == [begun - 59.5 * _SECOND]
    queue.stop_alarm()
    await asyncio.sleep(0)
    assert clock.waiting_until == []


async def test_an_alarm_that_is_stopped_rings_again_after_the_next_rest() -> None:
    clock = ManualClock()
    queue = queue_of(clock)

    async def look() -> Page:
        return page(clock, next_in=_SECOND)

    async def rest_anew() -> None:
        queue.stop_alarm()
        await queue.rest()

    await queue.look(look)
    first = asyncio.create_task(queue.rest())
    await asyncio.sleep(0)
    queue.woken.set()
    await first
    queue.woken.clear()
    second = asyncio.create_task(rest_anew())
    await asyncio.sleep(0)  # it rests
    await asyncio.sleep(0)  # and its alarm sleeps
    clock.advance(_SECOND)
    await asyncio.wait_for(second, DEADLINE)


async def test_a_clock_that_was_set_ahead_makes_nobody_sleep_on() -> None:
    clock = Ahead()
    queue = queue_of(clock, poll=timedelta(hours=2))

    async def look() -> Page:
        return page(clock, next_in=timedelta(hours=1))

    await queue.look(look)
    resting = asyncio.create_task(queue.rest())
    await asyncio.sleep(0)  # it rests
    await asyncio.sleep(0)  # and its alarm sleeps
    queue.woken.set()
    await resting
    clock.by = timedelta(hours=1)
    queue.take(page(clock, next_in=_SECOND / 10))
    queue.woken.clear()
    await asyncio.wait_for(queue.rest(), DEADLINE)


class Ahead(SystemClock):
    """The machine's clock, which somebody sets ahead."""

    by = timedelta()

    def now(self) -> datetime:
        return super().now() + self.by
