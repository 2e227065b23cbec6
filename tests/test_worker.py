"""The worker: it waits for nothing that it can hear of, outlives what goes wrong, and ends well."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import update

from tests import databases
from tests.db.rows import DEADLINE, until
from tests.stage import RELEASE, Stage, clock, open_stage, stage
from tests.working import (
    DISPATCH,
    LOOPS,
    MINT,
    a_second_passes,
    all_are,
    finished,
    minted,
    posted,
    states,
)
from zekt_bot import hookimpl
from zekt_bot.app import working
from zekt_bot.clock import Shutdown
from zekt_bot.db.inbox import due_from
from zekt_bot.db.tables import coverage, deliveries, inbox, lanes, runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.domain.events import Run

__all__ = ["clock", "stage"]
_SECOND, _MINUTE = timedelta(seconds=1), timedelta(minutes=1)


async def test_while_time_stands_still_an_event_goes_all_the_way(stage: Stage) -> None:
    await stage.serve()
    async with working(stage.broker):
        await finished(stage)
        await stage.github.wait_for_dispatches(1)
        await until(lambda: all_are(stage, "dispatched"))


async def test_what_was_left_over_is_taken_up_at_the_start(stage: Stage) -> None:
    await stage.serve()
    await finished(stage)
    assert await stage.claim("inbox")  # by one who died
    stage.clock.advance(_MINUTE)
    async with working(stage.broker):
        await stage.github.wait_for_dispatches(1)


async def test_a_run_whose_plugin_raises_is_tried_later_and_its_neighbours_go_on(
    stage: Stage,
) -> None:
    stage.broker.plugins.register(Picky(), "picky")
    await stage.serve()
    await stage.finish_run("build", head_branch="poison")
    await stage.finish_run("build")
    await stage.take()

    async def set_back() -> bool:
        rows = await stage.rows(runs)
        return [row["failures"] for row in rows if row["head_branch"] == "poison"] == [1]

    async with working(stage.broker):
        await stage.github.wait_for_dispatches(1)
        await until(set_back)
    (poison,) = [r for r in await stage.rows(runs) if r["head_branch"] == "poison"]
    assert poison["due_at"] == stage.clock.now() + 30 * _SECOND
    assert "zekt_aggregate" in poison["reason"]


class Picky:
    """A plugin that raises about one branch."""

    @hookimpl(tryfirst=True)
    def zekt_aggregate(self, run: Run) -> None:
        if run.facts and run.facts.head_branch == "poison":
            raise RuntimeError("I do not like this one")


async def test_a_malformed_webhook_is_set_aside_with_its_reason(stage: Stage) -> None:
    await stage.serve()
    run = await stage.github.start_run(stage.provider, RELEASE)
    body = stage.held[-1].payload
    body["workflow_run"]["created_at"] = "9999-01-01T00:00:00Z"
    stage.held.clear()
    async with working(stage.broker):
        await stage.tell("workflow_run", body)

        async def told() -> bool:
            return [row["state"] for row in await stage.rows(inbox)] == ["set_aside"]

        await until(told)
        await run.start_job("build")  # or the grace for jobs would have to pass
        await run.complete()
        await stage.take()
        await stage.github.wait_for_dispatches(1)
    assert any("9999" in (row["reason"] or "") for row in await stage.rows(inbox))


async def test_cut_connections_stop_nothing(migrated_postgres: str, postgres_server: str) -> None:
    name = migrated_postgres.rpartition("/")[2]
    async with open_stage(migrated_postgres) as stage:
        await stage.serve()
        async with working(stage.broker):
            databases.execute(
                postgres_server,
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
            )

            async def gone_through() -> bool:
                await a_second_passes(stage)
                return await all_are(stage, "dispatched")

            await finished(stage)
            await until(gone_through)


async def test_a_refused_key_pauses_the_app_until_it_is_taken_again(stage: Stage) -> None:
    await stage.serve()
    stage.github.fail("POST", MINT, status=401, times=2)

    async def waits() -> bool:
        return [row["waits_for"] for row in await stage.rows(deliveries)] == ["app"]

    async def gone_through() -> bool:
        await a_second_passes(stage)
        return await all_are(stage, "dispatched")

    async with working(stage.broker):
        await finished(stage)
        await until(waits)
        await until(gone_through)
    assert len(stage.github.dispatches) == 1


def _forget(connection: Connection, rows: Sequence[None]) -> Sequence[None]:
    connection.execute(update(lanes).values(next_ready_at=None))
    return rows


async def test_a_lane_that_fell_asleep_is_found_within_two_minutes(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    await stage.prepare()
    await stage.broker.database.write(_forget, None)
    assert await stage.works() == []

    async def gone_through() -> bool:
        await a_second_passes(stage)
        return await all_are(stage, "dispatched")

    async with working(stage.broker):
        await until(gone_through)


async def test_stopping_waits_for_what_is_in_flight(stage: Stage) -> None:
    await stage.serve()
    stage.github.fail("POST", DISPATCH, delay=0.5)
    async with working(stage.broker):
        await finished(stage)
        await until(lambda: posted(stage))
    assert await states(stage) == ["dispatched"]


async def test_what_does_not_end_in_time_is_given_back(migrated_url: str) -> None:
    async with open_stage(migrated_url, shutdown_timeout=timedelta(0)) as stage:
        await stage.serve()
        stage.github.fail("POST", DISPATCH, hang=True)
        async with working(stage.broker):
            await finished(stage)
            await until(lambda: posted(stage))
        row = await stage.row(deliveries)
        assert (row["state"], row["lease"]) == ("pending", None)
        stage.github.clear_faults()
        assert [outcome and outcome.kind for outcome in await stage.deliver()] == ["dispatched"]


async def test_what_is_in_flight_has_the_time_that_the_process_has_left(
    migrated_url: str,
) -> None:
    async with open_stage(migrated_url, shutdown_timeout=timedelta(hours=1)) as stage:
        await stage.serve()
        stage.github.fail("POST", DISPATCH, hang=True)
        late = replace(stage.broker, shutdown=Shutdown(timedelta(0)))
        async with working(late):
            await finished(stage)
            await until(lambda: posted(stage))
        row = await stage.row(deliveries)
        assert (row["state"], row["attempts"], row["lease"]) == ("pending", 0, None)


async def test_a_chore_that_waits_for_github_holds_up_no_stop(migrated_url: str) -> None:
    async with open_stage(migrated_url, shutdown_timeout=timedelta(0)) as stage:
        await stage.serve()
        stage.github.fail("GET", "/app/hook/deliveries", hang=True)
        stage.github.fail("POST", DISPATCH, hang=True)
        async with working(stage.broker):
            await finished(stage)
            await until(lambda: posted(stage))
            await until(lambda: _listing(stage))
        assert await stage.rows(coverage) == []  # GitHub's silence would have been noted
        assert (await stage.row(deliveries))["lease"] is None


async def _listing(stage: Stage) -> bool:
    return any(request.path == "/app/hook/deliveries" for request in stage.github.requests)


async def test_a_webhook_that_is_not_routed_in_time_is_given_back(migrated_url: str) -> None:
    async with open_stage(migrated_url, shutdown_timeout=timedelta(0)) as stage:
        await stage.serve()
        stage.github.fail("GET", "/app/installations/*", hang=True)
        stage.github.requests.clear()
        async with working(stage.broker):
            await stage.github.accept_permissions(stage.consuming, stage.consuming.permissions)
            await stage.take()
            await until(lambda: _asked(stage))
        row = await stage.row(inbox)
        first = due_from(row["event"], stage.clock.now())
        assert (row["state"], row["lease"], row["due_at"]) == ("pending", None, first)
        stage.github.clear_faults()
        assert await stage.route() == 1
        assert (await stage.row(inbox))["state"] == "processed"


async def test_while_the_app_is_refused_the_worker_sleeps(stage: Stage) -> None:
    await stage.serve()
    stage.github.fail("POST", MINT, status=401, times=99)

    async with working(stage.broker):
        await finished(stage)
        await until(lambda: _refused(stage))
        await until(lambda: _stay_asleep(stage))


async def _stay_asleep(stage: Stage) -> bool:
    """Not only between two turns of a loop that finds nothing and never rests."""
    for _ in range(200):
        if not await _all_asleep(stage):
            return False
        await asyncio.sleep(0)
    return True


async def _all_asleep(stage: Stage) -> bool:
    return len(stage.clock.waiting_until) == LOOPS


async def _refused(stage: Stage) -> bool:
    return [row["waits_for"] for row in await stage.rows(deliveries)] == ["app"]


async def test_one_delivery_at_a_time_tries_a_refused_key(stage: Stage) -> None:
    await stage.serve()
    stage.github.fail("POST", MINT, status=401, times=99)
    for _ in range(5):
        await stage.finish_run("build")
    await stage.prepare()

    async with working(stage.broker):
        await until(lambda: _attempts(stage, 5))
        for number in range(1, 4):
            await until(lambda: _all_asleep(stage))
            stage.clock.advance(_MINUTE)
            await until(lambda wanted=5 + number: _attempts(stage, wanted))  # type: ignore[misc]
            assert not await _attempts(stage, 6 + number)


async def test_a_token_that_was_kept_proves_nothing_of_a_refused_key(migrated_url: str) -> None:
    async with open_stage(migrated_url, lane_per_minute=0) as stage:
        await stage.serve()
        await stage.finish_run("build")
        await stage.flow()  # the first consumer's token is kept
        cold = stage.github.account("cold-org")
        consumer = stage.github.repository(cold, "core", private=True)
        await stage.github.install(stage.app, cold)
        await stage.subscribe(consumer)
        for _ in range(16):
            await stage.finish_run("build")
        await stage.prepare()
        stage.github.fail("POST", MINT, status=401, times=10_000)
        stage.github.fail("POST", DISPATCH, delay=0.05, times=10_000)
        began = len(minted(stage))
        async with working(stage.broker):
            await until(lambda: _refused_once(stage))
            await until(lambda: _all_asleep(stage))
            refused = len(minted(stage))
            for _ in range(59):
                stage.clock.advance(_SECOND)
                await asyncio.sleep(0.005)
            assert len(minted(stage)) == refused <= began + 2 * 8  # those in flight ask twice
            stage.github.clear_faults()

            async def gone_through() -> bool:
                await a_second_passes(stage)
                return await all_are(stage, "dispatched")

            await until(gone_through)
        assert len(stage.github.dispatches) == 1 + 2 * 16


async def _refused_once(stage: Stage) -> bool:
    """All that the cold installation is owed waits for the key, and nothing is under way."""
    rows = [row for row in await stage.rows(deliveries) if row["state"] == "pending"]
    waits = [row["waits_for"] for row in rows if row["attempts"]]
    return {*waits} == {"app"} and not any(row["lease"] for row in rows)


async def _attempts(stage: Stage, wanted: int) -> bool:
    made = sum(row["attempts"] for row in await stage.rows(deliveries))
    return bool(made == wanted)


async def test_requests_that_hang_hold_up_no_other(migrated_sqlite: str) -> None:
    """As many as there are tasks that make requests."""
    async with open_stage(migrated_sqlite) as stage:
        stage.github.fail("GET", "/app/installations/*", hang=True, times=300)
        ask = stage.broker.github.ask_as_app
        hanging = [asyncio.create_task(ask(f"/app/installations/{n}")) for n in range(224)]
        await until(lambda: _asked(stage, 100))
        assert (await asyncio.wait_for(ask("/app"), DEADLINE)).status == 200
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_news_that_github_is_slow_to_confirm_holds_up_nobody(migrated_url: str) -> None:
    async with open_stage(migrated_url, shutdown_timeout=timedelta(0)) as stage:
        await stage.serve()
        stage.github.fail("GET", "/app/installations/*", hang=True)
        async with working(stage.broker):
            await stage.github.accept_permissions(stage.consuming, stage.consuming.permissions)
            await stage.take()
            await until(lambda: _asked(stage))
            await finished(stage)
            await stage.github.wait_for_dispatches(1)


async def _asked(stage: Stage, many: int = 1) -> bool:
    asked = [request.path for request in stage.github.requests if request.method == "GET"]
    return sum("/app/installations/" in path for path in asked) >= many
