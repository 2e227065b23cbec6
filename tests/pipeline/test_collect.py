"""Runs and jobs out of webhooks, in whatever order they come and whatever they hold."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.stage import LEASE
from zekt_bot.db import inbox as inbox_rows
from zekt_bot.db.tables import audit, envelopes, inbox, jobs, runs
from zekt_bot.pipeline.route import route
from zekt_bot.testing import payloads

if TYPE_CHECKING:
    from tests.stage import Stage


async def test_a_run_is_known_from_its_first_webhook_on(stage: Stage) -> None:
    await stage.publish()
    run = await stage.github.start_run(stage.provider, "release.yml", display_title="Nul \0 !")
    await stage.listen()
    row = await stage.row(runs)
    assert (row["state"], row["due_at"], row["status"]) == ("open", None, "queued")
    assert (row["run_id"], row["run_attempt"], row["workflow_name"]) == (run.id, 1, "Release")
    assert row["display_title"] == "Nul \ufffd !"
    assert row["account_id"] == stage.provider.owner.id


async def test_a_completed_run_gathers_for_the_grace(stage: Stage) -> None:
    await stage.publish()
    await stage.finish_run()
    await stage.listen()
    row = await stage.row(runs)
    until = stage.clock.now() + stage.broker.settings.job_grace
    assert (row["state"], row["due_at"], row["gather_until"]) == ("gathering", until, until)
    assert row["completed_at"] == stage.clock.now()


async def test_jobs_before_the_run_are_kept_for_it_and_it_need_not_wait(stage: Stage) -> None:
    await stage.publish()
    run = await stage.finish_run("build", "test")
    await stage.take("workflow_job")
    while await stage.route():
        pass
    row = await stage.row(runs)
    assert (row["state"], row["workflow_path"], row["due_at"]) == ("open", None, None)
    body = payloads.workflow_run(run, "completed", stage.providing)
    await stage.tell("workflow_run", body)
    await stage.route()
    row = await stage.row(runs)
    assert (row["state"], row["due_at"]) == ("gathering", stage.clock.now())


async def test_the_last_job_after_the_run_ends_the_gathering(stage: Stage) -> None:
    await stage.publish()
    run = await stage.github.start_run(stage.provider, "release.yml")
    one, two = await run.start_job("one"), await run.start_job("two")
    await stage.listen()
    with stage.github.outage():
        await run.complete()
    await stage.tell("workflow_run", payloads.workflow_run(run, "completed", stage.providing))
    await stage.route()
    until = stage.clock.now() + stage.broker.settings.job_grace
    due = []
    for job in (one, two):
        await stage.tell("workflow_job", payloads.workflow_job(job, "completed", stage.providing))
        await stage.route()
        due.append((await stage.row(runs))["due_at"])
    assert due == [until, stage.clock.now()]


@pytest.mark.parametrize("seed", range(6))
async def test_the_order_in_which_webhooks_come_does_not_matter(stage: Stage, seed: int) -> None:
    await stage.publish()
    await stage.finish_run("build", "test")
    random.Random(seed).shuffle(stage.held)
    await stage.listen()
    row = await stage.row(runs)
    assert (row["state"], row["status"], row["conclusion"]) == (
        "gathering",
        "completed",
        "success",
    )
    seen = [(job["name"], job["status"], job["conclusion"]) for job in await stage.rows(jobs)]
    assert seen == [("build", "completed", "success"), ("test", "completed", "success")]
    assert row["due_at"] == stage.clock.now()


async def test_webhooks_that_come_all_at_once_make_one_run(stage: Stage) -> None:
    await stage.publish()
    await stage.finish_run("build", "test")
    await asyncio.gather(*(stage.receive(sent) for sent in stage.held))
    ids = await stage.claim("inbox")
    rows: list[Any] = [*await stage.broker.database.query(inbox_rows.load, ids)]
    await asyncio.gather(*(route(stage.broker, stage.router, row, LEASE) for row in rows))
    row = await stage.row(runs)
    assert (row["state"], row["due_at"]) == ("gathering", stage.clock.now())
    assert {job["status"] for job in await stage.rows(jobs)} == {"completed"}


async def test_a_rerun_is_another_run_with_its_own_correlation_id(stage: Stage) -> None:
    await stage.publish()
    run = await stage.finish_run("build")
    await run.rerun()
    await run.start_job("build")
    await run.complete("failure")
    await stage.listen()
    first, second = sorted(await stage.rows(runs), key=lambda row: int(row["run_attempt"]))
    assert (first["run_id"], first["run_attempt"]) == (run.id, 1)
    assert (second["run_id"], second["run_attempt"]) == (run.id, 2)
    assert first["correlation_id"] != second["correlation_id"]
    assert (first["conclusion"], second["conclusion"]) == ("success", "failure")
    owners = {job["run"]: job["conclusion"] for job in await stage.rows(jobs)}
    assert owners == {first["id"]: "success", second["id"]: "failure"}


async def test_a_job_of_another_attempt_does_not_end_this_ones_gathering(stage: Stage) -> None:
    await stage.publish()
    run = await stage.github.start_run(stage.provider, "release.yml")
    job = await run.queue_job("build")
    await stage.listen()
    job.run_attempt, job.status = 2, "completed"
    job.completed_at = stage.clock.now()
    await stage.tell("workflow_job", payloads.workflow_job(job, "completed", stage.providing))
    run.status, run.conclusion = "completed", "success"
    await stage.tell("workflow_run", payloads.workflow_run(run, "completed", stage.providing))
    await stage.route()
    (first,) = [row for row in await stage.rows(runs) if row["run_attempt"] == 1]
    assert first["due_at"] == first["gather_until"]


async def test_a_run_seen_twice_under_two_guids_is_one_event(stage: Stage) -> None:
    await stage.publish()
    run = await stage.finish_run("build")
    await stage.listen()
    before = await stage.row(runs)
    assert await stage.aggregate() == {}
    late = payloads.workflow_run(run, "completed", stage.providing)
    late["workflow_run"]["conclusion"] = "failure"
    for action in ("completed", "requested"):
        await stage.tell("workflow_run", {**late, "action": action})
    await stage.route()
    assert await stage.aggregate() == {}
    row = await stage.row(runs)
    assert (row["state"], row["conclusion"]) == ("done", "success")
    assert row["correlation_id"] == before["correlation_id"]
    assert len(await stage.rows(envelopes)) == 1
    verbs = [entry["verb"] for entry in await stage.rows(audit)]
    assert verbs.count("github:run:completed") == 1


async def test_a_consumers_run_is_known_but_sends_nothing(stage: Stage) -> None:
    await stage.serve()
    run = await stage.github.start_run(stage.consumer, "go.yml", event="repository_dispatch")
    await run.complete()
    await stage.listen()
    row = await stage.row(runs)
    assert (row["state"], row["due_at"], row["conclusion"]) == ("done", None, "success")
    assert await stage.claim("runs") == []


async def test_a_run_of_a_repository_that_is_gone_belongs_to_no_account(stage: Stage) -> None:
    await stage.publish()
    body = payloads.workflow_job(
        await (await stage.github.start_run(stage.provider, "release.yml")).queue_job("build"),
        "queued",
        stage.providing,
    )
    await stage.tell("workflow_job", body)
    row = dict(await stage.row(inbox))
    body["repository"]["id"] = 999_999  # what was sealed then is of a repository now unknown
    sealed = stage.broker.database.keyring.seal(("inbox", "raw", row["id"]), orjson.dumps(body))
    await route(stage.broker, stage.router, {**row, "raw": sealed}, LEASE)
    assert (await stage.row(runs))["account_id"] is None
