"""Runs of which nothing was heard: each is found at GitHub once, and none is sent too late."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.pipeline.missing import flow
from tests.pipeline.unheard import DAY, HOUR, MINUTE, asked, covered, recover, unheard
from tests.stage import ME, RELEASE, SERVICE, Stage, open_stage
from zekt_bot.app import working
from zekt_bot.db.tables import deliveries, inbox, runs
from zekt_bot.operations import accounts, subscriptions
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.pipeline import missed_runs
from zekt_bot.pipeline.missed_runs import MissedRuns

if TYPE_CHECKING:
    import pytest


async def test_runs_that_github_never_told_are_sent_once(stage: Stage) -> None:
    await stage.serve()
    for _ in range(2):
        await unheard(stage, "build", "test")
    assert await recover(stage) == 2
    await flow(stage)
    assert {row["recovered"] for row in await stage.rows(inbox)} == {True}
    assert None not in {row["recovered_at"] for row in await stage.rows(runs)}
    told = [one.client_payload["zekt"] for one in stage.github.dispatches]
    assert [len(one["jobs"]) for one in told] == [2, 2]
    assert {one["workflow"]["name"] for one in told} == {"Release"}
    assert await recover(stage) == 0
    await flow(stage)
    assert len(stage.github.dispatches) == 2


async def test_after_an_outage_of_days_what_is_too_old_is_only_stored(stage: Stage) -> None:
    await stage.serve()
    await recover(stage)
    await unheard(stage, "build")
    stage.clock.advance(4 * DAY)
    await unheard(stage, "build")
    assert await recover(stage) == 2
    await flow(stage)
    reasons = sorted(str(row["blocked_reason"]) for row in await stage.rows(runs))
    assert reasons == ["None", "too_old"]
    assert len(stage.github.dispatches) == 1


async def test_what_was_heard_of_costs_nothing_more(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    await stage.listen()
    assert await recover(stage) == 0
    assert asked(stage, "/jobs") == []


async def test_a_late_original_changes_nothing(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    sent, stage.held[:] = list(stage.held), []
    assert await recover(stage) == 1
    await flow(stage)
    for one in sent:
        await stage.receive(one)
    await flow(stage)
    assert len(stage.github.dispatches) == len(await stage.rows(runs)) == 1


async def test_a_run_whose_end_alone_was_missed_is_found(stage: Stage) -> None:
    await stage.serve()
    run = await stage.github.start_run(stage.provider, RELEASE)
    await run.start_job("build")
    await stage.listen()
    with stage.github.outage():
        await run.complete()
    assert await recover(stage) == 1
    await flow(stage)
    assert len(stage.github.dispatches) == 1


async def test_a_run_that_began_long_before_is_found(stage: Stage) -> None:
    await stage.serve()
    run = await stage.github.start_run(stage.provider, RELEASE)
    await stage.listen()
    for _ in range(3):
        stage.clock.advance(DAY)
        assert await MissedRuns(stage.broker).recover() == 0
    with stage.github.outage():
        await run.complete()
    assert await recover(stage) == 1
    await flow(stage)
    assert len(stage.github.dispatches) == 1


async def test_each_attempt_of_a_run_is_found(stage: Stage) -> None:
    await stage.serve()
    with stage.github.outage():
        run = await stage.finish_run("build")
        await run.rerun()
        await run.complete("failure")
        await run.rerun()
    assert await recover(stage) == 2
    await flow(stage)
    rows = {(row["run_attempt"], row["conclusion"]) for row in await stage.rows(runs)}
    assert rows == {(1, "success"), (2, "failure")}


async def test_more_than_github_gives_of_one_search(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed_runs, "MOST_PAGES", 1)
    await stage.serve()
    for _ in range(120):
        await unheard(stage)
        stage.clock.advance(timedelta(seconds=2))
    assert await recover(stage) == 120


async def test_of_so_many_in_a_second_some_are_not_listed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed_runs, "MOST_PAGES", 1)
    await stage.serve()
    for _ in range(101):
        await unheard(stage)
    assert await recover(stage) == 100
    assert (await covered(stage))["problem"] is None


async def test_an_unchanged_page_costs_no_request(stage: Stage) -> None:
    await stage.serve()
    missed = MissedRuns(stage.broker)
    await unheard(stage, "build")
    assert await recover(stage, missed) == 1
    await flow(stage)
    await recover(stage, missed)
    assert asked(stage)[-3:] == [304, 304, 304]  # the provider's, and two searches of the consumer
    await unheard(stage, "build")
    assert await recover(stage, missed) == 1


async def test_it_looks_once_an_hour(stage: Stage) -> None:
    await stage.serve()
    await recover(stage)
    before = len(asked(stage))
    stage.clock.advance(HOUR - MINUTE)
    assert await MissedRuns(stage.broker).recover() == 0
    assert len(asked(stage)) == before


async def test_what_ended_a_moment_ago_is_on_its_way(stage: Stage) -> None:
    await stage.serve()
    missed = MissedRuns(stage.broker)
    await unheard(stage, "build")
    assert await missed.recover(every=timedelta()) == 0
    stage.clock.advance(2 * MINUTE)
    assert await missed.recover(every=timedelta()) == 1


async def test_two_processes_find_each_once(stage: Stage) -> None:
    await stage.serve()
    await unheard(stage, "build")
    stage.clock.advance(HOUR)
    found = await asyncio.gather(*(MissedRuns(stage.broker).recover() for _ in range(2)))
    assert sum(found) == 1
    await flow(stage)
    assert len(stage.github.dispatches) == 1


async def test_what_ended_before_its_repository_was_enabled_is_not_taken(stage: Stage) -> None:
    await unheard(stage, "build")
    stage.clock.advance(HOUR)
    await stage.serve()
    assert await recover(stage) == 0
    assert await stage.rows(inbox) == []


async def test_what_ended_before_the_approval_is_not_sent_there(stage: Stage) -> None:
    await stage.publish()
    await stage.subscribe(approve=False)
    await unheard(stage, "build")
    stage.clock.advance(HOUR)
    await subscriptions.approve(stage.broker, ME, Ends(SERVICE, stage.consumer.full_name))
    assert await recover(stage) == 1
    await flow(stage)
    assert await stage.rows(deliveries) == []


async def test_of_a_blocked_account_nothing_is_taken(stage: Stage) -> None:
    await stage.serve()
    await unheard(stage, "build")
    await accounts.block(stage.broker, ME, "aurora-labs")
    assert await recover(stage) == 0
    assert len(asked(stage)) == 2  # both of the consumer
    await accounts.allow(stage.broker, ME, "aurora-labs")
    assert await recover(stage) == 0
    assert await stage.rows(inbox) == []


async def test_of_a_consumer_what_proves_a_delivery_is_taken(stage: Stage) -> None:
    await stage.serve()
    with stage.github.outage():
        for event in ("repository_dispatch", "push", "workflow_run"):
            run = await stage.github.start_run(stage.consumer, "deploy.yml", event=event)
            await run.start_job("deploy")
            await run.complete()
    assert await recover(stage) == 2
    await flow(stage)
    assert {row["event"] for row in await stage.rows(runs)} == {
        "repository_dispatch",
        "workflow_run",
    }


async def test_the_worker_compares_at_its_start(migrated_url: str) -> None:
    async with open_stage(migrated_url) as stage:
        await stage.serve()
        await unheard(stage, "build")
        stage.clock.advance(HOUR)
        async with working(stage.broker):
            await stage.github.wait_for_dispatches(1)


async def test_of_a_suspended_installation_nothing_is_asked_and_no_other_waits(
    stage: Stage,
) -> None:
    await stage.serve()
    await stage.github.suspend(stage.consuming)
    stage.held.clear()  # and nobody was told
    await unheard(stage, "build")
    assert await recover(stage) == 1
    assert (await covered(stage))["problem"] is None


async def test_rows_that_are_none_are_left_out(stage: Stage) -> None:
    await stage.serve()
    run = {"id": 1, "run_attempt": 1, "status": "completed", "updated_at": "soon"}
    body = {"workflow_runs": [{}, {"id": 0}, run]}
    stage.github.fail(
        "GET", f"/repositories/{stage.provider.id}/actions/runs", status=200, body=body
    )
    assert await recover(stage) == 0
    assert await stage.rows(inbox) == []


async def test_it_remembers_so_many_pages(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missed_runs, "_MOST_SEEN", 1)
    await stage.serve()
    missed = MissedRuns(stage.broker)
    await recover(stage, missed)
    await recover(stage, missed)
    assert asked(stage).count(304) <= 1
