"""The machine's clock jumps by hours, ahead and back: what is due goes out all the same."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.db.rows import until
from tests.stage import clock, stage
from zekt_bot.app import working
from zekt_bot.db.tables import deliveries

if TYPE_CHECKING:
    from tests.stage import Stage

__all__ = ["clock", "stage"]
HOUR = timedelta(hours=1)
_A_LITTLE = timedelta(seconds=10)


async def finish_run(stage: Stage) -> None:
    await stage.finish_run("build")
    await stage.take()


async def all_sent(stage: Stage, count: int) -> None:
    """Wait until so many deliveries are dispatched; at most a quarter of an hour passes."""
    latest = stage.clock.now() + HOUR / 4

    async def over() -> bool:
        if stage.clock.now() < latest:
            stage.clock.advance(_A_LITTLE)
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
