"""The machine's clock: whatever it does, nobody sleeps for ever."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from zekt_bot.clock import Shutdown, SystemClock
from zekt_bot.testing.clock import ManualClock


class SetBack(SystemClock):
    """A clock that is set back by an hour as soon as it was looked at."""

    def __init__(self) -> None:
        self.looks = 0

    def now(self) -> datetime:
        self.looks += 1
        return super().now() - timedelta(hours=1 if self.looks > 1 else 0)


async def test_a_clock_that_was_set_back_keeps_nobody_waiting() -> None:
    clock = SetBack()
    async with asyncio.timeout(60):
        await clock.sleep_until(datetime.now(UTC) + timedelta(seconds=0.05))


@pytest.mark.parametrize("seconds", [-3600, 0, 0.02])
async def test_who_sleeps_until_a_moment_wakes_at_it_or_after(seconds: float) -> None:
    clock = SystemClock()
    until, began = clock.now() + timedelta(seconds=seconds), clock.monotonic()
    await clock.sleep_until(until)
    assert clock.now() >= until
    assert clock.monotonic() >= began
    assert clock.now().tzinfo is UTC


def test_a_shutdown_has_one_end_from_when_it_is_told_or_first_asked_for() -> None:
    moments = iter([100.0, 103.0, 104.0, 111.0])
    told = Shutdown(timedelta(seconds=10), lambda: next(moments))
    told.begin()
    told.begin()  # only the first time counts
    assert [told.left(), told.left()] == [timedelta(seconds=6), timedelta(0)]
    moments = iter([100.0, 103.0])
    asked = Shutdown(timedelta(seconds=10), lambda: next(moments))
    assert [asked.left(), asked.left()] == [timedelta(seconds=10), timedelta(seconds=7)]


def test_a_clock_of_tests_that_is_set_back_counts_on() -> None:
    clock = ManualClock()
    clock.advance(timedelta(hours=1))
    clock.move_to(clock.now() - timedelta(minutes=30))
    assert clock.monotonic() == 3600
    clock.advance(timedelta(seconds=1))
    assert clock.monotonic() == 3601
