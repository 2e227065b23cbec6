"""Bounds of time: who takes too long is cancelled, and nobody else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import pytest

from zekt_bot.deadlines import Deadlines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


async def within(deadlines: Deadlines, seconds: float, call: Callable[[], Awaitable[T]]) -> T:
    with deadlines.within(seconds):
        return await call()


async def own_cancellations() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


async def test_what_takes_too_long_is_cancelled_and_what_does_not_answers() -> None:
    deadlines = Deadlines()
    async with asyncio.TaskGroup() as group:
        quick = group.create_task(within(deadlines, 3600, lambda: asyncio.sleep(0.01, "quick")))
        with pytest.raises(TimeoutError):
            await within(deadlines, 0.001, lambda: asyncio.sleep(3600))
    assert await quick == "quick"
    assert await own_cancellations() == 0


async def test_an_inner_bound_leaves_the_outer_one_alone() -> None:
    outer, inner = Deadlines(), Deadlines()

    async def both() -> str:
        with pytest.raises(TimeoutError):
            await within(inner, 0.001, lambda: asyncio.sleep(3600))
        return "went on"

    assert await within(outer, 3600, both) == "went on"


async def test_what_answers_though_it_was_cancelled_has_answered() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "all the same"
        return ""

    assert await within(Deadlines(), 0.001, stubborn) == "all the same"
    assert await own_cancellations() == 0


async def test_whoever_is_stopped_from_outside_is_not_late() -> None:
    task = asyncio.create_task(within(Deadlines(), 3600, lambda: asyncio.sleep(3600)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_whoever_is_stopped_from_outside_while_late_stays_stopped() -> None:
    async def late() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            task.cancel()

    task = asyncio.create_task(within(Deadlines(), 0.001, late))
    with pytest.raises(asyncio.CancelledError):
        await task


def test_each_loop_has_a_timer_of_its_own() -> None:
    deadlines = Deadlines()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            asyncio.run(within(deadlines, 0.001, lambda: asyncio.sleep(3600)))
        asyncio.run(within(deadlines, 3600, lambda: asyncio.sleep(0)))
