"""The loop guard: an honest chain is never blocked, and a loop is cut, whatever closes it."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from tests.pipeline.sending import execute
from tests.stage import ME, open_stage
from tests.strategies import at_length
from zekt_bot.db.tables import audit, deliveries, runs
from zekt_bot.domain.catalog import Profile
from zekt_bot.operations import repositories, services, subscriptions, workflows
from zekt_bot.operations.preflight.findings import RUN_NAME
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from tests.stage import Stage
    from zekt_bot.testing import Repository

PATH = ".github/workflows/release.yml"
NAMED = RUN_NAME.removeprefix("run-name: ")
MINUTE = timedelta(minutes=1)


async def provide(stage: Stage, repository: Repository, path: str = PATH) -> None:
    """It publishes a workflow under its own name."""
    await repositories.enable(stage.broker, ME, repository.full_name)
    await workflows.allow(stage.broker, ME, repository.full_name, path)
    wanted = services.Publication(path, repository.name, Profile(event_types=("*",)))
    await services.publish(stage.broker, ME, repository.full_name, wanted)


async def link(stage: Stage, provider: Repository, consumer: Repository) -> None:
    """What the one's workflow ends is sent to the other."""
    name = f"{provider.owner.login}/{provider.name}"
    ends = Ends(name, consumer.full_name)
    await subscriptions.request(stage.broker, ME, ends)
    await subscriptions.approve(stage.broker, ME, ends)


def react(stage: Stage, repository: Repository, path: str = PATH, **options: Any) -> None:
    """A dispatch starts this workflow, which ends well by itself."""
    stage.github.add_workflow(
        repository, path, on_dispatch_types=("*",), finishes="success", **options
    )


async def play(stage: Stage, rounds: int) -> None:
    """Let everything happen, each round as far as it gets at this moment."""
    for _ in range(rounds):
        await stage.flow()
        await stage.github.settle()
        stage.clock.advance(timedelta(seconds=3))


async def blocked(stage: Stage) -> list[str | None]:
    return [row["blocked_reason"] for row in await stage.rows(runs) if row["blocked_reason"]]


async def test_an_honest_chain_of_four_links_often_in_an_hour_is_never_blocked(
    stage: Stage,
) -> None:
    links = [stage.provider, stage.consumer]
    links += [stage.github.repository(stage.consumer.owner, f"link{n}") for n in (2, 3)]
    for provider, consumer in itertools.pairwise(links):
        await provide(stage, provider)
        react(stage, consumer)
        await link(stage, provider, consumer)
    for number in range(at_length(4)):
        await stage.finish_run("build")
        await play(stage, 5)
        assert len(await stage.rows(deliveries)) == 3 * (number + 1)
        stage.clock.advance(3 * MINUTE - timedelta(seconds=15))
    assert await blocked(stage) == []
    hops = {row["hops"] for row in await stage.rows(runs)}
    assert hops == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("run_name", "settings", "most"),
    [(None, {}, 8), (NAMED, {"max_hops": 4}, 4)],
    ids=["guessed", "named"],
)
async def test_a_loop_is_cut_at_the_most_hops(
    migrated_url: str, run_name: str | None, settings: dict[str, Any], most: int
) -> None:
    async with open_stage(migrated_url, **settings) as stage:
        named = {"run_name": run_name} if run_name else {}
        for repository in (stage.provider, stage.consumer):
            repository.workflows[:] = []
            react(stage, repository, **named)
            await provide(stage, repository)
        await link(stage, stage.provider, stage.consumer)
        await link(stage, stage.consumer, stage.provider)
        await stage.finish_run("build")
        await play(stage, most + 5)
        assert await blocked(stage) == ["loop"]
        assert sorted(row["hops"] for row in await stage.rows(runs)) == [*range(most + 2)]
        assert len(await stage.rows(deliveries)) == most + 1
        assert "zekt:run:blocked" in {row["verb"] for row in await stage.rows(audit)}


async def test_a_loop_through_workflow_run_is_cut_too(migrated_url: str) -> None:
    async with open_stage(migrated_url, max_hops=4) as stage:
        stage.github.add_workflow(stage.consumer, PATH)
        await provide(stage, stage.provider)
        await provide(stage, stage.consumer)
        await link(stage, stage.provider, stage.consumer)
        await link(stage, stage.consumer, stage.provider)
        for repository in (stage.provider, stage.consumer):
            react(stage, repository, ".github/workflows/hear.yml")
        await stage.finish_run("build")
        for _ in range(9):
            heard = len(stage.github.runs)
            await play(stage, 1)
            for run in stage.github.runs[heard:]:  # what it completes starts what is published
                at = run.repository
                again = await stage.github.start_run(at, PATH, event="workflow_run")
                await again.complete()
            await play(stage, 1)
        assert (await blocked(stage)).count("loop") == 1
        assert max(row["hops"] for row in await stage.rows(runs)) == 5


async def test_a_late_message_does_not_block_what_was_let_out(migrated_url: str) -> None:
    async with open_stage(migrated_url, max_hops=4) as stage:
        await stage.serve("*")
        run = await stage.finish_run("build")
        await stage.flow()
        await execute(stage, update(runs).values(hops=5))
        await stage.post(run)
        await stage.flow()
        assert await blocked(stage) == []
        assert len(stage.github.dispatches) == 2
