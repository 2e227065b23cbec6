"""Who works, what waits and since when; and the heartbeat that says so."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.db.rows import put, until
from tests.stage import ME, open_stage
from zekt_bot.app import working
from zekt_bot.db.tables import coverage, inbox, processes
from zekt_bot.domain.access import Person
from zekt_bot.errors import AccessDenied
from zekt_bot.operations import pauses
from zekt_bot.operations.heartbeat import BEAT_EVERY, DEAD_AFTER, beating
from zekt_bot.operations.status import status
from zekt_bot.testing import ManualClock
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from tests.stage import Stage

SECOND = timedelta(seconds=1)


def waiting(found: dict[str, Any]) -> dict[tuple[str, str | None], tuple[int, float]]:
    """Rows and lateness, by queue and state."""
    return {
        (row["queue"], row["state"]): (row["rows"], row["late_seconds"]) for row in found["waiting"]
    }


async def test_what_waits_is_counted_with_how_late_it_is(stage: Stage) -> None:
    await stage.serve()
    idle = {("inbox", None): (0, 0.0), ("runs", None): (0, 0.0), ("envelopes", None): (0, 0.0)}
    assert waiting(await status(stage.broker, ME)) == idle
    await stage.finish_run("build")
    await stage.prepare()
    await stage.finish_run("build")
    await stage.take()
    stage.clock.advance(7 * SECOND)
    found = waiting(await status(stage.broker, ME))
    assert found[("deliveries", "pending")] == (1, 7.0)
    assert found[("inbox", None)][1] == 7.0
    await stage.flow()
    assert waiting(await status(stage.broker, ME)) == idle


async def test_what_waits_for_a_pause_is_counted_once(stage: Stage) -> None:
    await stage.serve()
    await pauses.pause(stage.broker, ME, pauses.Target())
    await stage.finish_run("build")
    await stage.prepare()
    (row,) = [
        row for row in (await status(stage.broker, ME))["waiting"] if row["queue"] == "deliveries"
    ]
    assert (row["state"], row["waits_for"], row["rows"]) == ("pending", "pause", 1)
    assert (row["due_at"], row["late_seconds"]) == (None, 0.0)


async def test_nobody_but_an_operator_may_see_it(stage: Stage) -> None:
    with pytest.raises(AccessDenied):
        await status(stage.broker, Person(1, "somebody"))


async def test_since_when_nothing_is_missing_is_the_latest_of_what_was_compared(
    stage: Stage,
) -> None:
    broker = stage.broker
    assert (await status(broker, ME))["no_gap_since"] is None
    row = {"name": "runs", "no_gap_since": START, "covered_to": START}
    await broker.database.write(put, (coverage, [row]))
    assert (await status(broker, ME))["no_gap_since"] == START
    await broker.database.write(put, (coverage, [{"name": "hook_deliveries"}]))
    assert (await status(broker, ME))["no_gap_since"] is None


async def test_a_process_shows_while_it_lives_and_after_it_died(stage: Stage) -> None:
    broker = stage.broker
    async with beating(broker, "worker"):
        (process,) = (await status(broker, ME))["processes"]
        assert (process["kind"], process["alive"]) == ("worker", True)
        stage.clock.advance(BEAT_EVERY)

        async def beat_again() -> bool:
            (row,) = await stage.rows(processes)
            return bool(row["beat_at"] == stage.clock.now())

        await until(beat_again)
        (dead,) = await stage.rows(processes)
    assert (await status(broker, ME))["processes"] == []
    await broker.database.write(put, (processes, [dict(dead)]))
    stage.clock.advance(DEAD_AFTER)
    (process,) = (await status(broker, ME))["processes"]
    assert not process["alive"]
    async with beating(broker, "serve"):
        assert len(await stage.rows(processes)) == 2
        stage.clock.advance(timedelta(hours=1))

        async def forgotten() -> bool:
            return len(await stage.rows(processes)) == 1

        await until(forgotten)
        (process,) = (await status(broker, ME))["processes"]
        assert process["kind"] == "serve"


async def test_how_late_the_loop_is_shows_with_the_next_heartbeat(stage: Stage) -> None:
    async with beating(stage.broker, "serve"):
        await asyncio.sleep(0)  # it looks in a second
        time.sleep(1.2)  # and finds that nothing ran
        lag = stage.broker.vitals.figures.loop_lag_seconds

        async def observed() -> bool:
            return sum(lag.counts) > 0

        await until(observed)
        stage.clock.advance(BEAT_EVERY)

        async def told() -> bool:
            (process,) = (await status(stage.broker, ME))["processes"]
            found = process["figures"]["histograms"]["loop_lag_seconds"]
            return bool(found["sum"] >= 0.2)

        await until(told)


async def test_a_worker_whose_clock_is_off_takes_no_work_and_says_so(
    migrated_postgres: str,
) -> None:
    clock = ManualClock(datetime.now(UTC) - timedelta(minutes=5))
    with capture_logs() as logs:
        async with (
            open_stage(migrated_postgres, clock) as stage,
            beating(stage.broker, "worker"),
        ):
            assert stage.broker.vitals.clock_is_off
            await stage.serve()
            await stage.finish_run("build")
            await stage.take()
            async with working(stage.broker):

                async def rests() -> bool:
                    return clock.waiting_until.count(clock.now() + SECOND) >= 6

                await until(rests)
                assert {row["state"] for row in await stage.rows(inbox)} == {"pending"}

                async def works() -> bool:
                    clock.move_to(datetime.now(UTC))  # NTP set it right
                    return {row["state"] for row in await stage.rows(inbox)} == {"processed"}

                await until(works)
            assert not stage.broker.vitals.clock_is_off
    said = [line["event"] for line in logs if line["event"].startswith("clock")]
    assert said == ["clock.off", "clock.agrees"]
