"""A pool of tasks: what is under way, what waits, and what ends one of its tasks."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.db.rows import DEADLINE
from zekt_bot.pool import Pool

SECOND = timedelta(seconds=1)


class Work:
    """Rows that are worked on until they are let go."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.free = asyncio.Event()

    async def __call__(self, row: int) -> None:
        self.begun.append(row)
        await self.free.wait()


async def given(pool: Pool[int], *rows: int) -> None:
    for row in rows:
        pool.give(row)
    for _ in range(3):
        await asyncio.sleep(0)


async def test_no_more_is_under_way_than_there_are_tasks() -> None:
    work = Work()
    pool = Pool[int](tasks=2, held=5, page=3, work=work)
    await given(pool, 1, 2, 3, 4)
    assert (work.begun, pool.room) == ([1, 2], 1)
    assert pool.withdraw() == [3, 4]
    assert pool.room == 3
    work.free.set()
    assert await pool.drain(SECOND) == []


async def test_what_does_not_end_in_time_is_answered() -> None:
    pool = Pool[int](tasks=2, held=5, page=3, work=Work())
    await given(pool, 1, 2)
    assert await pool.drain(timedelta(0)) == [1, 2]


async def test_it_is_told_when_a_page_fits_again() -> None:
    work = Work()
    pool = Pool[int](tasks=2, held=2, page=1, work=work)
    await given(pool, 1, 2)
    assert pool.room == 0
    work.free.set()
    await asyncio.wait_for(pool.freed.wait(), DEADLINE)
    assert pool.room


async def test_whoever_was_cancelled_is_replaced() -> None:
    work = Work()
    pool = Pool[int](tasks=1, held=2, page=1, work=work)
    before = asyncio.all_tasks()
    await given(pool, 1)
    (task,) = asyncio.all_tasks() - before
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await given(pool, 2)
    assert (work.begun, pool.room) == ([1, 2], 1)
    assert await pool.drain(timedelta(0)) == [2]
