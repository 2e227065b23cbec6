"""Who works, what waits and since when; and the heartbeat that says so."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.db.rows import put, until
from tests.pipeline.missing import lose_and_stop_after
from tests.stage import ME, open_stage
from tests.web.test_metrics import samples
from zekt_bot.app import working
from zekt_bot.chores import Chores
from zekt_bot.db.tables import inbox, processes
from zekt_bot.domain.access import Person
from zekt_bot.errors import AccessDenied
from zekt_bot.operations import pauses
from zekt_bot.operations.heartbeat import BEAT_EVERY, DEAD_AFTER, beating
from zekt_bot.operations.status import status
from zekt_bot.pipeline import recovery
from zekt_bot.testing import ManualClock
from zekt_bot.testing.clock import START
from zekt_bot.web.metrics import exposition

if TYPE_CHECKING:
    from tests.stage import Stage

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


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


async def look(stage: Stage) -> None:
    """The chore that reads GitHub's lists, once."""
    every = Chores(stage.broker, lambda: False).every
    await next(chore.work() for chore in every if chore.name == recovery.CHORE)


async def whole(stage: Stage) -> tuple[datetime | None, datetime | None, dict[str, str]]:
    """Since when and until when no event is missing, and what is said of lists that are late."""
    found = await status(stage.broker, ME)
    late = {row["name"]: row["unread"] for row in found["coverage"] if row["unread"]}
    return found["no_gap_since"], found["looked_until"], late


async def test_since_when_nothing_is_missing_is_known_when_all_lists_were_read(
    stage: Stage,
) -> None:
    assert await whole(stage) == (None, None, {})
    stage.github.fail("GET", "/app/hook/deliveries", status=500)
    await look(stage)
    since, until, late = await whole(stage)
    assert (since, until, list(late)) == (None, None, ["hook_deliveries"])
    assert "list of the App's webhooks yet: GitHub answered 500" in late["hook_deliveries"]
    await look(stage)
    assert await whole(stage) == (START - 72 * HOUR, START - MINUTE, {})


async def test_it_is_not_said_of_a_time_when_nobody_could_look(stage: Stage) -> None:
    await look(stage)
    since = START - 72 * HOUR
    for _ in range(48):
        stage.clock.advance(HOUR)
        stage.github.fail("GET", "/app/hook/deliveries", status=500)
        await look(stage)
    told = await whole(stage)
    assert told[:2] == (since, START - MINUTE)
    assert told[2] == {
        "hook_deliveries": "Nobody could read GitHub's list of the App's webhooks "
        "since 2026-07-01 11:59:00Z: GitHub answered 500: Server Error."
    }
    stage.clock.advance(60 * HOUR)
    since_then, until, late = await whole(stage)
    assert (since_then, until) == (since, START - MINUTE)
    assert late["runs"] == "Nobody has read GitHub's lists of runs since 2026-07-03 12:00:00Z."
    figures = samples(exposition(await status(stage.broker, ME)))
    for name, moment in (("no_gap_since", since), ("looked_until", START - MINUTE)):
        assert figures[f"zekt_{name}_timestamp_seconds", frozenset()] == moment.timestamp()
    await look(stage)  # GitHub keeps three days, and is read again
    now = stage.clock.now()
    assert await whole(stage) == (now - 72 * HOUR - MINUTE, now - MINUTE, {})


async def test_while_a_backlog_is_taken_in_it_is_told_how_far_that_is(stage: Stage) -> None:
    await stage.serve()
    await look(stage)
    sent = await lose_and_stop_after(stage, 8)
    taking = asyncio.create_task(look(stage))

    async def said() -> dict[str, Any]:
        async with beating(stage.broker, "serve"):
            (first, _) = (await status(stage.broker, ME))["coverage"]
        return dict(first)

    async def begun() -> bool:
        return "8 of" in str((await said())["unread"])

    await until(begun)
    told = await said()
    since = f"{sent[7].delivered_at:%Y-%m-%d %H:%M:%SZ}"
    assert f"missed since {since} is being taken in" in told["unread"]
    assert f"webhooks, 8 of {len(sent)}." in told["unread"]
    assert told["goes_on"]
    taking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await taking
    assert "8 of" not in (await said())["unread"]
    stage.github.clear_faults()
    await look(stage)
    found = await said()
    assert (found["unread"], found["goes_on"]) == (None, False)


async def test_between_two_readings_nothing_is_late(stage: Stage) -> None:
    for _ in range(30):
        await look(stage)
        stage.clock.advance(recovery.EVERY)
        assert (await whole(stage))[2] == {}


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
