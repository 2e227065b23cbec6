"""Aggregation: when a finished run becomes envelopes, when it does not, and never on old facts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.stage import ME, RELEASE, open_stage
from zekt_bot import hookimpl
from zekt_bot.db.tables import audit, envelopes, messages, runs
from zekt_bot.domain.catalog import Conditions
from zekt_bot.domain.events import Run, RunKey
from zekt_bot.errors import PluginFailed
from zekt_bot.operations import repositories, workflows
from zekt_bot.pipeline.aggregate import aggregate, metadata
from zekt_bot.testing import payloads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.stage import Stage
    from zekt_bot.testing import WorkflowRun

GRACE = timedelta(seconds=2)


async def gathering(stage: Stage, *jobs: str, **options: Any) -> WorkflowRun:
    """A run that has finished and waits for its aggregation."""
    run = await stage.finish_run(*jobs, **options)
    await stage.listen()
    return run


async def kinds(stage: Stage) -> list[tuple[str, str, str | None]]:
    rows = await stage.rows(envelopes)
    return sorted((row["kind"], row["event_type"], row["message"]) for row in rows)


async def test_a_run_without_jobs_waits_for_the_grace(stage: Stage) -> None:
    await stage.publish()
    await gathering(stage)
    assert await stage.claim("runs") == []
    stage.clock.advance(GRACE - timedelta(microseconds=1))
    assert await stage.claim("runs") == []
    stage.clock.advance(timedelta(microseconds=1))
    assert await stage.aggregate() == {}
    assert await kinds(stage) == [("event", "zekt-workflow-completed", None)]
    row = await stage.row(runs)
    assert (row["state"], row["due_at"], row["aggregated_at"]) == ("done", None, stage.clock.now())


async def test_who_asks_too_early_is_sent_away(stage: Stage) -> None:
    await stage.publish()
    await gathering(stage)
    row = await stage.row(runs)
    assert await aggregate(stage.broker, [row["id"]], stage.pace, stage.kept) == {}
    assert await kinds(stage) == []
    assert (await stage.row(runs))["due_at"] == stage.clock.now() + GRACE


async def test_a_run_whose_seen_jobs_are_over_does_not_wait(stage: Stage) -> None:
    await stage.publish()
    await gathering(stage, "build")
    assert await stage.aggregate() == {}
    assert await kinds(stage) == [("event", "zekt-workflow-completed", None)]


async def test_without_grace_nothing_waits(migrated_url: str) -> None:
    async with open_stage(migrated_url, job_grace=timedelta(0)) as stage:
        await stage.publish()
        await gathering(stage)
        assert await stage.aggregate() == {}
        assert len(await kinds(stage)) == 1


async def test_a_job_that_never_ends_holds_nothing_up_after_the_grace(stage: Stage) -> None:
    await stage.publish()
    run = await stage.github.start_run(stage.provider, "release.yml")
    await run.start_job("build")
    await stage.take()
    with stage.github.outage():
        await run.complete()
    await stage.tell("workflow_run", payloads.workflow_run(run, "completed", stage.providing))
    while await stage.route():
        pass
    assert await stage.claim("runs") == []
    stage.clock.advance(GRACE)
    assert await stage.aggregate() == {}
    (row,) = await stage.rows(envelopes)
    assert [job["conclusion"] for job in opened(stage, row)["jobs"]] == [None]


async def test_the_envelope_tells_the_run_and_its_jobs_and_is_sealed(stage: Stage) -> None:
    await stage.publish()
    run = await gathering(stage, "build", "test", head_branch="main")
    await stage.aggregate()
    row = await stage.row(envelopes)
    assert b"payments-api" not in row["body"]
    now = stage.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    told = opened(stage, row)
    assert told["sourceRepo"] == "aurora-labs/payments-api"
    assert told["workflow"] == {
        "name": "Release",
        "path": RELEASE,
        "runId": run.id,
        "runAttempt": 1,
        "runNumber": run.number,
        "event": "push",
        "conclusion": "success",
        "headBranch": "main",
        "headSha": run.head_sha,
        "htmlUrl": f"{stage.github.web_url}/aurora-labs/payments-api/actions/runs/{run.id}",
        "actor": run.actor.login,
        "startedAt": now,
        "completedAt": now,
    }
    times = {"conclusion": "success", "startedAt": now, "completedAt": now}
    assert told["jobs"] == [{"name": "build", **times}, {"name": "test", **times}]


def opened(stage: Stage, row: Mapping[str, Any]) -> Any:
    place = ("envelopes", "body", row["id"])
    return orjson.loads(stage.broker.database.keyring.open(place, row["body"]))


async def test_each_message_travels_in_an_envelope_of_the_promised_id(stage: Stage) -> None:
    await stage.publish("*")
    run = await stage.finish_run("build")
    promised = {(await stage.post(run, body)).event_id for body in (b"1", b"2", b"3")}
    await stage.prepare()
    rows = await stage.rows(envelopes)
    assert {row["id"] for row in rows} == promised
    assert {row["kind"] for row in rows} == {"message"}
    assert {row["message"] for row in rows} == {row["id"] for row in await stage.rows(messages)}


async def test_a_message_after_the_aggregation_is_sent_late_and_alone(stage: Stage) -> None:
    await stage.publish("*")
    run = await gathering(stage, "build")
    await stage.aggregate()
    stored = await stage.post(run)
    assert await stage.aggregate() == {}
    assert await kinds(stage) == [
        ("event", "zekt-workflow-completed", None),
        ("late_message", "released", stored.message_id),
    ]
    assert stored.event_id in {row["id"] for row in await stage.rows(envelopes)}
    assert await stage.claim("runs") == []


async def test_a_workflow_that_is_not_allowed_any_more_sends_nothing(stage: Stage) -> None:
    await repositories.enable(stage.broker, ME, stage.provider.full_name)
    await workflows.allow(stage.broker, ME, stage.provider.full_name, RELEASE)
    run = await gathering(stage, "build")
    await stage.post(run)
    await workflows.disallow(stage.broker, ME, stage.provider.full_name, RELEASE)
    await blocked(stage, "not_allowed")


async def test_a_run_of_a_forks_code_sends_nothing(stage: Stage) -> None:
    await stage.publish()
    fork = stage.github.repository(stage.github.account("mallory"), "payments-api", fork=True)
    await gathering(stage, "build", fork=fork)
    await blocked(stage, "from_fork")


async def test_a_run_of_code_that_is_gone_counts_as_a_forks(stage: Stage) -> None:
    await stage.publish()
    await gathering(stage, "build", fork_deleted=True)
    await blocked(stage, "from_fork")


@pytest.mark.parametrize(
    ("conditions", "reason"),
    [
        (Conditions(), "run_event_not_allowed"),
        (Conditions(events=("push",)), "run_event_not_allowed"),
        (Conditions(events=("issue_comment",), branches=("main",)), "branch_not_allowed"),
        (Conditions(events=("issue_comment",)), "conclusion_not_allowed"),
    ],
)
async def test_a_run_beside_the_allow_lists_conditions_sends_nothing(
    stage: Stage, conditions: Conditions, reason: str
) -> None:
    name = stage.provider.full_name
    await repositories.enable(stage.broker, ME, name)
    await workflows.allow(stage.broker, ME, name, RELEASE, conditions)
    options: Any = {"event": "issue_comment", "head_branch": "next"}
    run = await stage.github.start_run(stage.provider, RELEASE, **options)
    await run.start_job("build")
    await run.complete("cancelled")
    await stage.listen()
    await blocked(stage, reason)


async def test_a_suspended_provider_sends_nothing(stage: Stage) -> None:
    await stage.publish()
    await gathering(stage, "build")
    await stage.github.suspend(stage.providing)
    await stage.take()
    await stage.route()
    await blocked(stage, "consent")


async def blocked(stage: Stage, reason: str) -> None:
    """Aggregate: the run is blocked for this reason, for good, and the audit says so."""
    assert await stage.aggregate() == {}
    assert await kinds(stage) == []
    row = await stage.row(runs)
    assert (row["state"], row["blocked_reason"], row["due_at"]) == ("done", reason, None)
    assert row["aggregated_at"] is None
    (entry,) = [one for one in await stage.rows(audit) if one["verb"] == "zekt:run:blocked"]
    assert orjson.loads(entry["details"])["reason"] == reason
    assert entry["correlation_id"] == row["correlation_id"]


async def test_forks_that_are_allowed_send(stage: Stage) -> None:
    name = stage.provider.full_name
    await repositories.enable(stage.broker, ME, name)
    await workflows.allow(stage.broker, ME, name, RELEASE, Conditions(forks=True))
    fork = stage.github.repository(stage.github.account("friend"), "payments-api", fork=True)
    await gathering(stage, "build", fork=fork)
    await stage.aggregate()
    assert len(await kinds(stage)) == 1


async def test_a_plugin_that_raises_fails_that_run_only(stage: Stage) -> None:
    class Broken:
        @hookimpl
        def zekt_aggregate(self, run: Run) -> None:
            if run.facts and run.facts.head_branch == "broken":
                raise RuntimeError

    stage.broker.plugins.register(Broken(), "broken")
    await stage.publish()
    for branch in ("main", "broken", "next"):
        await gathering(stage, "build", head_branch=branch)
    failed = await stage.aggregate()
    states = {row["head_branch"]: row["state"] for row in await stage.rows(runs)}
    assert states == {"main": "done", "broken": "gathering", "next": "done"}
    (broken,) = [row["id"] for row in await stage.rows(runs) if row["state"] == "gathering"]
    assert list(failed) == [broken]
    assert isinstance(failed[broken], PluginFailed)
    assert len(await kinds(stage)) == 2


async def test_a_run_that_has_not_ended_is_left_alone(stage: Stage) -> None:
    await stage.publish()
    await stage.github.start_run(stage.provider, "release.yml")
    await stage.take()
    await stage.route()
    before = await stage.row(runs)
    assert (
        await aggregate(stage.broker, [before["id"], "run_of_nobody"], stage.pace, stage.kept) == {}
    )
    assert await stage.row(runs) == before


def test_a_run_without_facts_has_no_event() -> None:
    run = Run("run_1", RunKey(1, 1, 1), "cor_1", "open", 1, 0, None)
    with pytest.raises(PluginFailed):
        metadata(run, (), "aurora-labs/payments-api")
