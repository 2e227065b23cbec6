"""Repositories, workflows, runs and jobs by API."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.testing.conftest import Scene
    from zekt_bot.testing import ManualClock


async def test_a_repository_by_name_and_by_id(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    by_name = await scene.client.ask("GET", "/repos/aurora-labs/payments-api", token)
    by_id = await scene.client.ask("GET", f"/repositories/{scene.api.id}", token)
    assert by_name.body == by_id.body
    told = by_name.body
    assert (told["private"], told["visibility"], told["archived"]) == (True, "private", False)
    assert told["owner"]["id"] == told["organization"]["id"] == scene.org.id
    assert (await scene.client.ask("GET", "/repos/aurora-labs/payments-api")).status == 404
    assert (await scene.client.ask("GET", "/repos/aurora-labs/docs")).status == 200
    assert (await scene.client.ask("GET", "/repos/aurora-labs/docs", "ghs_x")).status == 401


async def test_the_api_tells_what_the_webhook_told(scene: Scene) -> None:
    run = await scene.github.start_run(scene.api, "ci.yml")
    await run.start_job("build")
    await run.complete("failure")
    token = await scene.client.token(scene.installation)
    base = f"/repos/{scene.api.full_name}/actions"
    told = (await scene.client.ask("GET", f"{base}/runs/{run.id}", token)).body
    assert told == scene.receiver.hooks[-1].body["workflow_run"]
    jobs = (await scene.client.ask("GET", f"{base}/runs/{run.id}/jobs", token)).body
    assert jobs["total_count"] == 1
    job = next(h for h in scene.receiver.hooks if h.named == "workflow_job.completed")
    assert jobs["jobs"][0] == job.body["workflow_job"]
    single = await scene.client.ask("GET", f"{base}/jobs/{jobs['jobs'][0]['id']}", token)
    assert single.body == jobs["jobs"][0]
    workflows = (await scene.client.ask("GET", f"{base}/workflows", token)).body
    assert workflows["workflows"][0]["path"] == ".github/workflows/ci.yml"
    one = await scene.client.ask("GET", f"{base}/workflows/ci.yml", token)
    assert one.body == workflows["workflows"][0]
    assert (await scene.client.ask("GET", f"{base}/runs/1", token)).status == 404


async def test_attempts_keep_their_jobs(scene: Scene) -> None:
    run = await scene.github.start_run(scene.api, "ci.yml")
    await run.start_job("build")
    await run.complete("failure")
    await run.rerun()
    await run.start_job("build")
    await run.complete("success")
    token = await scene.client.token(scene.installation)
    base = f"/repos/{scene.api.full_name}/actions/runs/{run.id}"
    first = (await scene.client.ask("GET", f"{base}/attempts/1", token)).body
    assert (first["run_attempt"], first["conclusion"]) == (1, "failure")
    for tail, attempts in (
        ("/jobs", [2]),
        ("/jobs?filter=all", [1, 2]),
        ("/attempts/1/jobs", [1]),
    ):
        jobs = (await scene.client.ask("GET", base + tail, token)).body["jobs"]
        assert [job["run_attempt"] for job in jobs] == attempts


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 3),
        ("event=push", 2),
        ("status=completed", 1),
        ("status=success", 1),
        ("branch=topic", 1),
        ("created=>=2026-07-01T14:00:00Z", 1),
        ("created=>2026-07-01T14:00:00Z", 0),
        ("created=<2026-07-01T13:00:00Z", 1),
        ("created=2026-07-01", 3),
        ("created=<=9999-12-31", 3),
        ("created=2026-07-01T12:30:00Z..2026-07-01T13:30:00Z", 1),
        ("created=*..2026-07-01T13:00:00%2B00:00", 2),
    ],
)
async def test_runs_are_filtered(scene: Scene, clock: ManualClock, query: str, found: int) -> None:
    run = await scene.github.start_run(scene.docs, "ci.yml")
    await run.complete()
    clock.advance(timedelta(hours=1))
    await scene.github.start_run(scene.docs, "ci.yml", head_branch="topic")
    clock.advance(timedelta(hours=1))
    await scene.github.start_run(scene.docs, "else.yml", event="schedule")
    answer = await scene.client.ask("GET", f"/repos/{scene.docs.full_name}/actions/runs?{query}")
    assert answer.status == 200
    assert answer.body["total_count"] == len(answer.body["workflow_runs"]) == found
    times = [one["created_at"] for one in answer.body["workflow_runs"]]
    assert times == sorted(times, reverse=True)


async def test_a_workflows_runs_and_a_bad_date(scene: Scene) -> None:
    await scene.github.start_run(scene.docs, "ci.yml")
    await scene.github.start_run(scene.docs, "else.yml")
    base = f"/repos/{scene.docs.full_name}/actions"
    one = await scene.client.ask("GET", f"{base}/workflows/else.yml/runs")
    assert one.body["total_count"] == 1
    assert (await scene.client.ask("GET", f"{base}/runs?created=soon")).status == 422
