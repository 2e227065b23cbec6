"""The machine's clock jumps by hours, ahead and back: what is due goes out all the same."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import update

from tests.db.rows import until
from tests.stage import clock, stage
from tests.working import LOOPS
from zekt_bot.app import working
from zekt_bot.db.tables import coverage, deliveries, repositories, subscriptions, usage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from tests.stage import Stage

__all__ = ["clock", "stage"]
HOUR = timedelta(hours=1)
_A_LITTLE = timedelta(seconds=10)


async def finish_run(stage: Stage) -> None:
    await stage.finish_run("build")
    await stage.take()


async def all_sent(stage: Stage, count: int) -> None:
    """Wait until so many deliveries are dispatched; at most a quarter of an hour passes, and none
    while a loop is awake.
    """
    latest = stage.clock.now() + HOUR / 4

    async def over() -> bool:
        if stage.clock.now() < latest and len(stage.clock.waiting_until) >= LOOPS:
            stage.clock.advance(_A_LITTLE)
            await asyncio.sleep(0.02)
        return [row["state"] for row in await stage.rows(deliveries)] == ["dispatched"] * count

    await until(over)


async def test_what_was_stored_by_a_clock_that_was_ahead_does_not_wait_for_its_time(
    stage: Stage,
) -> None:
    await stage.serve()
    async with working(stage.broker):
        await finish_run(stage)
        await all_sent(stage, 1)
        for number in (2, 4):
            stage.clock.move_to(stage.clock.now() + 5 * HOUR)
            await finish_run(stage)
            await all_sent(stage, number)
            await finish_run(stage)  # taken by no step yet
            stage.clock.move_to(stage.clock.now() - 8 * HOUR)
            await all_sent(stage, number + 1)


def _make_durable(connection: Connection, rows: Sequence[datetime]) -> list[None]:
    connection.execute(update(subscriptions).values(durable_after=600, durable_sends=3))
    connection.execute(update(repositories).values(withdrawn_at=rows[0] + 4 * HOUR))
    told = {"account_id": 1, "day": "2026-07-01", "events": 0, "messages": 0, "bytes": 0}
    connection.execute(usage.insert().values(**told, told_at=rows[0] + 5 * HOUR))
    return [None]


async def test_what_a_clock_that_was_ahead_says_of_proofs_and_gaps_is_taken_back(
    stage: Stage,
) -> None:
    await stage.serve()
    start = stage.clock.now()
    await stage.broker.database.write(_make_durable, start)

    async def looked_ahead() -> bool:
        stage.clock.advance(_A_LITTLE)
        rows = await stage.rows(coverage)
        return len(rows) == 2 and all(row["covered_to"] for row in rows)

    async def brought_back() -> bool:
        stage.clock.advance(_A_LITTLE)
        now, one = stage.clock.now(), await stage.row(deliveries)
        told = [row["covered_to"] for row in await stage.rows(coverage)]
        gone = all(at is None or at <= now for at in told) and one["dispatched_at"] <= now
        return gone and one["prove_by"] <= now + timedelta(minutes=10)

    async with working(stage.broker):
        stage.clock.move_to(start + 5 * HOUR)
        await finish_run(stage)
        await all_sent(stage, 1)
        await until(looked_ahead)
        stage.clock.move_to(start + HOUR)
        await until(brought_back)
        assert (await stage.row(deliveries))["state"] == "dispatched"
        assert (await stage.row(usage))["told_at"] is None
        taken_back = [row["withdrawn_at"] for row in await stage.rows(repositories)]
        assert all(at <= stage.clock.now() for at in taken_back)
        assert stage.clock.now() < start + 2 * HOUR
