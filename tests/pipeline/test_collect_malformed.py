"""Whatever a webhook holds, collecting reads it or refuses it, and refuses it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.db.tables import inbox, jobs, runs
from zekt_bot.domain.events import Job, RunFacts
from zekt_bot.errors import MalformedEvent
from zekt_bot.pipeline.collect import job_facts, run_facts
from zekt_bot.testing import payloads

if TYPE_CHECKING:
    from tests.stage import Stage

ABSURD: list[tuple[str, Any]] = [
    ("path", None),
    ("path", 7),
    ("path", "p" * 1001),
    ("run_number", 0),
    ("run_number", True),
    ("run_number", 2**63),
    ("status", []),
    ("event", "e" * 101),
    ("head_sha", "0" * 65),
    ("head_branch", {}),
    ("head_repository", "aurora-labs/payments-api"),
    ("actor", 4),
    ("created_at", None),
    ("created_at", "yesterday"),
    ("created_at", "0001-01-01T00:00:00+23:00"),
    ("created_at", "9999-12-31T23:59:59Z"),
    ("created_at", 2**62),
    ("updated_at", -1),
    ("run_started_at", False),
]
ABSURD_JOB: list[tuple[str, Any]] = [
    ("name", None),
    ("name", "n" * 1001),
    ("status", 1),
    ("conclusion", "c" * 41),
    ("started_at", "soon"),
    ("completed_at", 2**63 - 1),
]


async def test_absurd_runs_and_jobs_are_set_aside_alone(stage: Stage) -> None:
    await stage.publish()
    run = await stage.finish_run("build")
    for n, (name, value) in enumerate(ABSURD):
        body = payloads.workflow_run(run, "completed", stage.providing)
        body["workflow_run"][name] = value
        await stage.tell("workflow_run", body, f"run-{n}")
    for n, (name, value) in enumerate(ABSURD_JOB):
        body = payloads.workflow_job(run.jobs[0], "completed", stage.providing)
        body["workflow_job"][name] = value
        await stage.tell("workflow_job", body, f"job-{n}")
    neighbours = len(await stage.take())
    assert await stage.route() == neighbours + len(ABSURD) + len(ABSURD_JOB)
    assert await stage.route() == 0
    rows = await stage.rows(inbox)
    aside = [row for row in rows if row["state"] == "set_aside"]
    assert {row["guid"]: row["reason"].split()[0] for row in aside} == {
        **{f"run-{n}": name for n, (name, _) in enumerate(ABSURD)},
        **{f"job-{n}": name for n, (name, _) in enumerate(ABSURD_JOB)},
    }
    assert all(row["due_at"] is None and row["raw"] for row in aside)
    assert [row["state"] for row in rows].count("processed") == neighbours
    assert (await stage.row(runs))["conclusion"] == "success"
    assert [job["name"] for job in await stage.rows(jobs)] == ["build"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(
    name=st.sampled_from([*RunFacts.__dataclass_fields__, "path", "updated_at", "run_started_at"]),
    value=_json,
)
def test_whatever_stands_in_a_run_is_read_or_refused(name: str, value: Any) -> None:
    body = {**_RUN, "workflow_run": {**_RUN["workflow_run"], name: value}}
    try:
        facts = run_facts(body)
    except MalformedEvent:
        return
    assert 0 < facts.run_number < 2**63
    assert "\0" not in f"{facts.head_branch}{facts.head_sha}{facts.html_url}{facts.event}"
    assert all(2007 <= when.year < 2200 for when in (facts.created_at, facts.started_at))


@given(name=st.sampled_from([*Job.__dataclass_fields__, "id"]), value=_json)
def test_whatever_stands_in_a_job_is_read_or_refused(name: str, value: Any) -> None:
    try:
        job = job_facts({"workflow_job": {**_JOB, name: value}})
    except MalformedEvent:
        return
    assert 0 < job.job_id < 2**63
    assert "\0" not in f"{job.name}{job.status}{job.conclusion}"


@given(part=st.sampled_from(["workflow_run", "workflow"]), value=_json)
def test_a_part_that_is_no_object_is_refused(part: str, value: Any) -> None:
    if isinstance(value, dict) or (part == "workflow" and value is None):
        return
    with pytest.raises(MalformedEvent, match=part):
        run_facts({**_RUN, part: value})


def test_a_run_tells_its_workflows_name_even_when_it_has_one_of_its_own() -> None:
    named = {**_RUN, "workflow_run": {**_RUN["workflow_run"], "name": "Release of 2.0"}}
    assert run_facts({**named, "workflow": {"name": "Release"}}).workflow_name == "Release"
    assert run_facts({**named, "workflow": None}).workflow_name == "Release of 2.0"


def test_a_run_whose_head_and_actor_are_gone_is_read() -> None:
    gone = {"head_repository": None, "head_branch": None, "actor": None, "conclusion": None}
    facts = run_facts({**_RUN, "workflow_run": {**_RUN["workflow_run"], **gone}})
    assert (facts.head_repository_id, facts.head_branch, facts.actor) == (None, None, None)


_RUN: dict[str, Any] = {
    "workflow": {"name": "Release"},
    "workflow_run": {
        "path": ".github/workflows/release.yml@main",
        "run_number": 7,
        "event": "push",
        "status": "completed",
        "conclusion": "success",
        "head_branch": "main",
        "head_sha": "0" * 40,
        "head_repository": {"id": 1},
        "html_url": "https://github.com/aurora-labs/payments-api/actions/runs/1",
        "actor": {"login": "lin"},
        "display_title": "Change",
        "created_at": "2026-07-01T12:00:00Z",
        "run_started_at": "2026-07-01T12:00:00Z",
        "updated_at": "2026-07-01T12:00:00Z",
    },
}
_JOB: dict[str, Any] = {
    "id": 1,
    "name": "build",
    "status": "completed",
    "conclusion": "success",
    "started_at": "2026-07-01T12:00:00Z",
    "completed_at": "2026-07-01T12:00:00Z",
}
