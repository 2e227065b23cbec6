"""Runs of which nothing was heard: each is found at GitHub once, and none is sent too late."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.pipeline.missing import flow
from tests.stage import ME, RELEASE, SERVICE, Stage, open_stage
from zekt_bot.app import working
from zekt_bot.db.tables import coverage, deliveries, inbox, runs
from zekt_bot.db.tables import repositories as catalog
from zekt_bot.operations import accounts, repositories, subscriptions
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.pipeline import missed_runs
from zekt_bot.pipeline.missed_runs import MissedRuns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.testing import WorkflowRun

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LIST = "/repositories/*/actions/runs"


async def unheard(stage: Stage, *jobs: str, **options: Any) -> WorkflowRun:
    """A run of which GitHub sends nothing."""
    with stage.github.outage():
        return await stage.finish_run(*jobs, **options)


async def recover(stage: Stage, missed: MissedRuns | None = None) -> int:
    """A pass, an hour later."""
    stage.clock.advance(_HOUR)
    return await (missed or MissedRuns(stage.broker)).recover()


async def covered(stage: Stage) -> Mapping[str, Any]:
    """How far nothing is missing."""
    return await stage.row(coverage)


def asked(stage: Stage, ending: str = "/actions/runs") -> list[int | None]:
    """What GitHub answered to such requests."""
    return [each.status for each in stage.github.requests if each.path.endswith(ending)]


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
    stage.clock.advance(4 * _DAY)
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
        stage.clock.advance(_DAY)
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
    stage.clock.advance(_HOUR - _MINUTE)
    assert await MissedRuns(stage.broker).recover() == 0
    assert len(asked(stage)) == before


def lists(stage: Stage) -> list[str]:
    """Which repositories' runs were asked for; aiohttp asks twice if a kept connection is cut."""
    paths = [each.path for each in stage.github.requests if each.path.endswith("/actions/runs")]
    return list(dict.fromkeys(paths))


async def providers(stage: Stage, count: int) -> None:
    """More repositories of the provider's installation, enabled."""
    for number in range(count):
        stage.github.repository(stage.provider.owner, f"api-{number}", private=True)
        await repositories.enable(stage.broker, ME, f"aurora-labs/api-{number}")


async def test_a_github_that_answers_nobody_is_given_up_and_asked_again_soon(stage: Stage) -> None:
    await stage.serve()
    await unheard(stage, "build")
    stage.github.fail("GET", LIST, reset=True, times=10)
    assert await recover(stage) == 0
    assert (await covered(stage))["problem"]
    stage.github.clear_faults()
    stage.clock.advance(5 * _MINUTE)
    assert await MissedRuns(stage.broker).recover() == 1
    assert (await covered(stage))["problem"] is None


async def test_after_three_in_a_row_a_pass_ends_and_goes_on_behind_them(stage: Stage) -> None:
    await stage.serve()
    await providers(stage, 3)
    stage.github.fail("GET", LIST, reset=True, times=100)
    assert await recover(stage) == 0
    assert len(lists(stage)) == 3
    stage.github.clear_faults()
    stage.clock.advance(5 * _MINUTE)
    assert await MissedRuns(stage.broker).recover() == 0
    assert len(lists(stage)) == 5
    row = await covered(stage)
    assert (row["cursor"], row["covered_to"]) == (None, None)
    await recover(stage)
    row = await covered(stage)
    assert (row["problem"], row["covered_to"]) == (None, stage.clock.now())


async def test_one_repository_that_is_never_listed_holds_up_no_other(stage: Stage) -> None:
    await stage.serve()
    await unheard(stage, "build")
    await providers(stage, 1)
    path = f"/repositories/{stage.consumer.id}/actions/runs"
    stage.github.fail("GET", path, reset=True, times=100)
    assert await recover(stage) == 1
    assert len(lists(stage)) == 3
    row = await covered(stage)
    assert (row["cursor"], row["covered_to"]) == (None, None)
    before = len(asked(stage))
    stage.clock.advance(5 * _MINUTE)
    assert await MissedRuns(stage.broker).recover() == 0
    assert len(asked(stage)) == before  # in an hour again


async def test_an_installation_without_requests_is_asked_once_in_a_pass(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed_runs, "_REPOSITORIES", 1)
    await stage.serve()
    await providers(stage, 4)
    stage.providing.rate_limit = 1
    await recover(stage)
    assert len(lists(stage)) == 2  # one of each installation
    stage.clock.advance(5 * _MINUTE)
    await MissedRuns(stage.broker).recover()
    assert len(lists(stage)) == 2
    stage.providing.rate_limit = 5000
    await recover(stage)
    assert (await covered(stage))["covered_to"] == stage.clock.now()


async def test_what_is_known_already_is_compared_with_the_last_request(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    await stage.listen()
    missed = MissedRuns(stage.broker)
    stage.providing.rate_limit = 1
    await recover(stage, missed)
    stage.providing.rate_limit = 5000
    await recover(stage, missed)
    assert 304 in asked(stage)


@pytest.mark.parametrize("status", [500, 429])
async def test_while_github_does_not_answer_it_says_so(stage: Stage, status: int) -> None:
    await stage.serve()
    await recover(stage)
    first = await covered(stage)
    await unheard(stage, "build")
    stage.github.fail("GET", LIST, status=status, times=10)
    assert await recover(stage) == 0
    row = await covered(stage)
    assert str(status) in row["problem"]
    assert row["covered_to"] == first["covered_to"]
    stage.github.clear_faults()
    stage.clock.advance(2 * _DAY)
    assert await recover(stage) == 1
    row = await covered(stage)
    assert (row["problem"], row["covered_to"]) == (None, stage.clock.now())
    assert row["no_gap_since"] == first["no_gap_since"]


async def test_a_repository_that_nobody_may_read_holds_up_no_other(stage: Stage) -> None:
    await stage.serve()
    await unheard(stage, "build")
    stage.github.fail("GET", f"/repositories/{stage.consumer.id}/actions/runs", status=403)
    assert await recover(stage) == 1
    assert (await covered(stage))["problem"] is None


async def test_what_could_not_be_read_for_a_while_is_compared_when_it_can_be(
    stage: Stage,
) -> None:
    await stage.serve()
    await recover(stage)
    await unheard(stage, "build")
    path = f"/repositories/{stage.provider.id}/actions/runs"
    stage.github.fail("GET", path, status=403, times=100)
    for _ in range(2):
        stage.clock.advance(12 * _HOUR)
        assert await recover(stage) == 0
        assert (await covered(stage))["covered_to"] == stage.clock.now()
    stage.github.clear_faults()
    assert await recover(stage) == 1
    await flow(stage)
    assert len(stage.github.dispatches) == 1
    assert {row["unread_since"] for row in await stage.rows(catalog)} == {None}


async def test_the_dispatches_keep_half_of_the_installations_requests(stage: Stage) -> None:
    await stage.serve()
    await unheard(stage, "build")
    stage.providing.rate_limit = 1
    assert await recover(stage) == 0
    row = await covered(stage)
    assert "few requests left" in row["problem"]
    assert row["covered_to"] is None
    stage.providing.rate_limit = 5000
    assert await recover(stage) == 1
    assert (await covered(stage))["problem"] is None


async def test_what_asks_for_many_jobs_leaves_the_half_too(stage: Stage) -> None:
    await stage.serve()
    for _ in range(9):
        await unheard(stage, "build")
    stage.providing.rate_limit = 10  # one for the list, one for the workflows, one a run
    passes = [await recover(stage) for _ in range(4)]
    assert sum(passes) == 9
    assert max(passes) < 9
    assert (await covered(stage))["problem"] is None


async def test_what_asks_for_many_attempts_leaves_the_half_too(stage: Stage) -> None:
    await stage.serve()
    with stage.github.outage():
        run = await stage.github.start_run(stage.consumer, "deploy.yml", event="workflow_run")
        await run.complete()
        for _ in range(9):
            await run.rerun()
            await run.complete()
    stage.consuming.rate_limit = 10
    passes = [await recover(stage) for _ in range(5)]
    assert sum(passes) == 10
    assert max(passes) < 9


async def test_what_died_half_way_goes_on(stage: Stage) -> None:
    await stage.serve()
    for _ in range(3):
        await unheard(stage, "build")
    stage.clock.advance(_HOUR)
    stage.github.fail("GET", "*/jobs", delay=0.01, times=1)
    stage.github.fail("GET", "*/jobs", hang=True)
    dying = asyncio.create_task(MissedRuns(stage.broker).recover())
    while len(asked(stage, "/jobs")) < 2:
        await asyncio.sleep(0.01)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    stage.github.clear_faults()
    assert await recover(stage) == 2
    await flow(stage)
    assert len(stage.github.dispatches) == 3


async def test_a_pass_that_was_stopped_goes_on(stage: Stage, monkeypatch: Any) -> None:
    monkeypatch.setattr(missed_runs, "_REPOSITORIES", 1)
    await stage.serve()
    await unheard(stage, "build")
    stage.clock.advance(_HOUR)
    began, stops = stage.clock.now(), iter([False, False, True, True])
    await MissedRuns(stage.broker).recover(lambda: next(stops))
    assert (await covered(stage))["cursor"]
    stage.clock.advance(_MINUTE)
    await MissedRuns(stage.broker).recover()
    row = await covered(stage)
    assert (row["cursor"], row["covered_to"]) == (None, began)
    await flow(stage)
    assert len(stage.github.dispatches) == 1


async def test_what_ended_a_moment_ago_is_on_its_way(stage: Stage) -> None:
    await stage.serve()
    missed = MissedRuns(stage.broker)
    await unheard(stage, "build")
    assert await missed.recover(every=timedelta()) == 0
    stage.clock.advance(2 * _MINUTE)
    assert await missed.recover(every=timedelta()) == 1


async def test_two_processes_find_each_once(stage: Stage) -> None:
    await stage.serve()
    await unheard(stage, "build")
    stage.clock.advance(_HOUR)
    found = await asyncio.gather(*(MissedRuns(stage.broker).recover() for _ in range(2)))
    assert sum(found) == 1
    await flow(stage)
    assert len(stage.github.dispatches) == 1


async def test_what_ended_before_its_repository_was_enabled_is_not_taken(stage: Stage) -> None:
    await unheard(stage, "build")
    stage.clock.advance(_HOUR)
    await stage.serve()
    assert await recover(stage) == 0
    assert await stage.rows(inbox) == []


async def test_what_ended_before_the_approval_is_not_sent_there(stage: Stage) -> None:
    await stage.publish()
    await stage.subscribe(approve=False)
    await unheard(stage, "build")
    stage.clock.advance(_HOUR)
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
        stage.clock.advance(_HOUR)
        async with working(stage.broker):
            await stage.github.wait_for_dispatches(1, timeout=10)


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
