"""A consumer's runs say what became of a delivery, without any step in its workflows."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import update

from tests.db.rows import at_once
from tests.pipeline.sending import DISPATCHES, execute, verbs
from tests.stage import LEASE
from zekt_bot.db import inbox
from zekt_bot.db.tables import audit, deliveries, lanes, runs
from zekt_bot.operations.preflight.findings import RUN_NAME
from zekt_bot.pipeline import route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.stage import Stage
    from zekt_bot.testing import WorkflowRun

NAMED = RUN_NAME.removeprefix("run-name: ")


async def dispatched(stage: Stage, *run_names: str | None) -> list[WorkflowRun]:
    """A delivery that started a run of each of these workflows; their first news are held."""
    for number, run_name in enumerate(run_names):
        path = f".github/workflows/react{number}.yml"
        react(stage, path, run_name)
    await stage.serve("*")
    return await again(stage)


def react(stage: Stage, path: str, run_name: str | None) -> None:
    """The consumer's workflow that any dispatch starts."""
    named: Any = {"run_name": run_name} if run_name else {}
    stage.github.add_workflow(stage.consumer, path, on_dispatch_types=("*",), **named)


async def again(stage: Stage) -> list[WorkflowRun]:
    """Another event, another delivery; the runs of the consumer that it started."""
    before = len(stage.github.runs)
    await stage.finish_run("build")
    await stage.flow()
    await stage.github.settle()
    return [run for run in stage.github.runs[before:] if run.repository is stage.consumer]


async def state(stage: Stage) -> str:
    return str((await stage.row(deliveries))["state"])


async def consumers(stage: Stage) -> list[Mapping[str, Any]]:
    rows = await stage.rows(runs)
    return [row for row in rows if row["repository_id"] == stage.consumer.id]


@pytest.mark.parametrize(("conclusion", "end"), [("success", "completed"), ("failure", "failed")])
async def test_a_run_with_the_delivery_in_its_name_confirms_and_ends_it(
    stage: Stage, conclusion: str, end: str
) -> None:
    (run,) = await dispatched(stage, NAMED)
    assert await state(stage) == "dispatched"
    await stage.listen()
    assert await state(stage) == "confirmed"
    (row,) = await consumers(stage)
    source = next(each for each in await stage.rows(runs) if each["id"] != row["id"])
    delivery_id = (await stage.row(deliveries))["id"]
    assert (row["caused_by_delivery_id"], row["bound_by"]) == (delivery_id, "title")
    assert (row["root_run_id"], row["hops"]) == (source["id"], 1)
    await run.complete(conclusion)
    await stage.listen()
    assert await state(stage) == end
    told = [verb for verb in await verbs(stage) if verb.startswith("zekt:delivery:")]
    assert told[-2:] == ["zekt:delivery:confirmed", f"zekt:delivery:{end}"]


@pytest.mark.parametrize("seed", range(4))
async def test_githubs_order_does_not_matter(stage: Stage, seed: int) -> None:
    failing, other = await dispatched(stage, NAMED, NAMED)
    await failing.complete("failure")
    await other.complete()
    await failing.rerun()
    await failing.complete()
    random.Random(seed).shuffle(stage.held)
    await stage.listen()
    assert await state(stage) == "completed"
    assert len(await consumers(stage)) == 3
    assert {row["bound_by"] for row in await consumers(stage)} == {"title"}


async def test_one_bad_run_fails_the_delivery_until_a_newer_attempt_of_it_ends_well(
    stage: Stage,
) -> None:
    bad, good = await dispatched(stage, NAMED, NAMED)
    await good.complete()
    await stage.listen()
    assert await state(stage) == "completed"
    await bad.complete("timed_out")
    await stage.listen()
    assert await state(stage) == "failed"
    await bad.rerun()
    await stage.listen()
    assert await state(stage) == "failed"
    await bad.complete()
    await stage.listen()
    assert await state(stage) == "completed"


async def test_a_newer_attempt_came_of_what_the_title_of_the_former_named(stage: Stage) -> None:
    (run,) = await dispatched(stage, NAMED)
    await run.complete("failure")
    await stage.listen()
    run.display_title = "zekt-workflow-completed"
    await run.rerun()
    await run.complete()
    await stage.listen()
    first, second = sorted(await consumers(stage), key=lambda row: row["run_attempt"])
    told = ("caused_by_delivery_id", "bound_by", "root_run_id", "hops")
    assert [second[name] for name in told] == [first[name] for name in told]
    assert (await state(stage), second["bound_by"]) == ("completed", "title")


@pytest.mark.parametrize("failing", range(3))
async def test_the_audit_names_the_run_that_says_so_of_several_heard_of_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    started = await dispatched(stage, NAMED, NAMED, NAMED)
    await stage.listen()
    for number, run in enumerate(started):
        await run.complete("failure" if number == failing else "success")
    await stage.take()
    rows = await stage.broker.database.query(inbox.load, await stage.claim("inbox"))
    steps = (route.route(stage.broker, stage.router, row, LEASE) for row in rows)
    await at_once(stage.broker.database, monkeypatch, *steps)
    assert await state(stage) == "failed"
    told = [row for row in await stage.rows(audit) if row["verb"] == "zekt:delivery:failed"]
    named = [orjson.loads(row["details"])["run_id"] for row in told]
    assert named == [started[failing].id]


async def test_a_probable_run_informs_and_moves_nothing(stage: Stage) -> None:
    (run,) = await dispatched(stage, None)
    await run.complete("failure")
    await stage.listen()
    row, (bound,) = await stage.row(deliveries), await consumers(stage)
    assert (row["state"], bound["bound_by"]) == ("dispatched", "probable")
    assert (bound["caused_by_delivery_id"], bound["root_run_id"]) == (row["id"], None)


@pytest.mark.parametrize(
    ("apart", "bound"), [(timedelta(seconds=30), None), (timedelta(minutes=3), "probable")]
)
async def test_of_two_deliveries_lately_nobody_guesses_which(
    stage: Stage, apart: timedelta, bound: str | None
) -> None:
    await dispatched(stage, None)
    stage.held.clear()
    stage.clock.advance(apart)
    await again(stage)
    await stage.listen()
    assert [row["bound_by"] for row in await consumers(stage)] == [bound]


async def test_a_name_of_anothers_delivery_proves_nothing(stage: Stage) -> None:
    await dispatched(stage)
    delivery_id = (await stage.row(deliveries))["id"]
    title = f"Zekt {delivery_id}"
    for at, event in ((stage.provider, "repository_dispatch"), (stage.consumer, "workflow_run")):
        await stage.github.start_run(at, "other.yml", event=event, display_title=title)
    await stage.listen()
    assert await state(stage) == "dispatched"
    assert {row["bound_by"] for row in await stage.rows(runs)} == {None}


async def test_a_run_proves_what_github_did_but_did_not_answer(stage: Stage) -> None:
    await stage.serve("*")
    react(stage, ".github/workflows/react.yml", NAMED)
    stage.github.fail("POST", DISPATCHES, status=502, when="after")
    (run,) = await again(stage)
    assert await state(stage) == "retrying"
    await stage.listen()
    row = await stage.row(deliveries)
    assert (row["state"], row["due_at"], row["reason"]) == ("confirmed", None, None)
    stage.clock.advance(timedelta(hours=1))
    assert await stage.works() == []
    assert len(stage.github.dispatches) == 1
    await run.complete()
    await stage.listen()
    assert await state(stage) == "completed"


async def test_a_worker_that_holds_a_proven_delivery_sends_it_no_more(stage: Stage) -> None:
    await dispatched(stage, NAMED)
    await execute(stage, update(deliveries).values(state="pending", due_at=stage.clock.now()))
    await execute(stage, update(lanes).values(next_ready_at=stage.clock.now()))
    (work,) = await stage.works()
    await stage.listen()
    assert await state(stage) == "confirmed"
    assert await stage.send(work) is None
    assert await state(stage) == "confirmed"
    assert len(stage.github.dispatches) == 1


async def test_what_is_blocked_stays_so_and_its_run_is_kept(stage: Stage) -> None:
    await dispatched(stage, NAMED)
    await execute(stage, update(deliveries).values(state="blocked", blocked_reason="consent"))
    await stage.listen()
    row = await stage.row(deliveries)
    assert (row["state"], row["blocked_reason"]) == ("blocked", "consent")
    assert [each["bound_by"] for each in await consumers(stage)] == ["title"]
