"""Passes over all repositories: what they leave out, where they go on, whose requests stay."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.pipeline.missing import flow
from tests.pipeline.unheard import DAY, HOUR, MINUTE, asked, covered, recover, unheard
from tests.stage import ME, Stage
from zekt_bot.db.tables import repositories as catalog
from zekt_bot.operations import repositories
from zekt_bot.operations.status import status
from zekt_bot.pipeline import missed_runs
from zekt_bot.pipeline.missed_runs import MissedRuns

LIST = "/repositories/*/actions/runs"
NO_GAPS: dict[str, Any] = {"repositories": 0, "first": []}


def lists(stage: Stage) -> list[str]:
    """Which repositories' runs were asked for; aiohttp asks twice if a kept connection is cut."""
    paths = [each.path for each in stage.github.requests if each.path.endswith("/actions/runs")]
    return list(dict.fromkeys(paths))


async def gaps(stage: Stage) -> dict[str, Any]:
    """What `zekt status` says could not be compared."""
    found: dict[str, Any] = (await status(stage.broker, ME))["gaps"]
    return found


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
    stage.clock.advance(5 * MINUTE)
    assert await MissedRuns(stage.broker).recover() == 1
    assert (await covered(stage))["problem"] is None


async def test_after_three_in_a_row_a_pass_ends_and_goes_on_behind_them(stage: Stage) -> None:
    await stage.serve()
    await providers(stage, 3)
    stage.github.fail("GET", LIST, reset=True, times=100)
    assert await recover(stage) == 0
    assert len(lists(stage)) == 3
    stage.github.clear_faults()
    stage.clock.advance(5 * MINUTE)
    assert await MissedRuns(stage.broker).recover() == 0
    assert len(lists(stage)) == 5
    row = await covered(stage)
    assert (row["cursor"], row["covered_to"]) == (None, stage.clock.now() - 5 * MINUTE)
    assert row["problem"]
    assert (await gaps(stage))["repositories"] == 3
    await recover(stage)
    row = await covered(stage)
    assert (row["problem"], row["covered_to"]) == (None, stage.clock.now())
    assert await gaps(stage) == NO_GAPS


async def test_one_repository_that_is_never_listed_holds_up_no_other(stage: Stage) -> None:
    await stage.serve()
    await unheard(stage, "build")
    await providers(stage, 1)
    path = f"/repositories/{stage.consumer.id}/actions/runs"
    stage.github.fail("GET", path, reset=True, times=100)
    assert await recover(stage) == 1
    assert len(lists(stage)) == 3
    row = await covered(stage)
    assert (row["cursor"], row["covered_to"]) == (None, stage.clock.now())
    before = len(asked(stage))
    stage.clock.advance(5 * MINUTE)
    assert await MissedRuns(stage.broker).recover() == 0
    assert len(asked(stage)) == before  # in an hour again


@pytest.mark.parametrize("answer", [{"reset": True}, {"status": 502}], ids=["silence", "error"])
async def test_one_dead_repository_is_the_gap_by_name_and_the_others_advance(
    stage: Stage, answer: dict[str, Any]
) -> None:
    await stage.serve()
    await providers(stage, 1)  # of the same installation, behind it
    await recover(stage)
    first = (await covered(stage))["covered_to"]
    await unheard(stage, "build")
    path = f"/repositories/{stage.provider.id}/actions/runs"
    stage.github.fail("GET", path, times=100, **answer)
    for _ in range(3):
        assert await recover(stage) == 0
        row = await covered(stage)
        assert (row["covered_to"], bool(row["problem"])) == (stage.clock.now(), True)
        named = {"repository": stage.provider.full_name, "since": first}
        assert await gaps(stage) == {"repositories": 1, "first": [named]}
    stage.github.clear_faults()
    assert await recover(stage) == 1
    assert await gaps(stage) == NO_GAPS


async def test_an_installation_without_requests_is_asked_once_in_a_pass(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed_runs, "_REPOSITORIES", 1)
    await stage.serve()
    await providers(stage, 4)
    stage.providing.rate_limit = 1
    await recover(stage)
    assert len(lists(stage)) == 2  # one of each installation
    stage.clock.advance(5 * MINUTE)
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


@pytest.mark.parametrize("refusal", [500, 429])
async def test_while_github_does_not_answer_it_says_so(stage: Stage, refusal: int) -> None:
    await stage.serve()
    await recover(stage)
    first = await covered(stage)
    await unheard(stage, "build")
    stage.github.fail("GET", LIST, status=refusal, times=10)
    assert await recover(stage) == 0
    row = await covered(stage)
    assert str(refusal) in row["problem"]
    told = [each["since"] for each in (await gaps(stage))["first"]]
    assert told == [first["covered_to"]] * 2
    stage.github.clear_faults()
    stage.clock.advance(2 * DAY)
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
        stage.clock.advance(12 * HOUR)
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
    assert (await gaps(stage))["repositories"] == 1
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
    stage.clock.advance(HOUR)
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
    stage.clock.advance(HOUR)
    began, stops = stage.clock.now(), iter([False, False, True, True])
    await MissedRuns(stage.broker).recover(lambda: next(stops))
    assert (await covered(stage))["cursor"]
    stage.clock.advance(MINUTE)
    await MissedRuns(stage.broker).recover()
    row = await covered(stage)
    assert (row["cursor"], row["covered_to"]) == (None, began)
    await flow(stage)
    assert len(stage.github.dispatches) == 1
