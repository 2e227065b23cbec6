"""A worker's end of a queue."""

from __future__ import annotations

from datetime import timedelta

import pytest

from zekt_bot.db.handover import Leased, Page
from zekt_bot.db.leases import Claim
from zekt_bot.errors import StorageUnavailable
from zekt_bot.queues import Queue
from zekt_bot.testing import ManualClock

_SECOND = timedelta(seconds=1)
_POLL = 5 * _SECOND


def queue_of(clock: ManualClock) -> Queue:
    now = clock.now()
    claim = Claim("runs", now, now + 60 * _SECOND, "lea_1", 64)
    return Queue("runs", clock, _POLL, lambda: claim)


def page(clock: ManualClock, *ids: str, next_in: timedelta | None = None) -> Page:
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
