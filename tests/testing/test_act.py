"""Workflow files that act runs as GitHub's runners would."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import jwt
import pytest

from zekt_bot.testing.act import ActRunner

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testing.conftest import Scene
    from zekt_bot.testing import WorkflowRun

WHO = """
name: Who
on: [repository_dispatch]
permissions: {id-token: write}
jobs:
  ask:
    runs-on: ubuntu-latest
    outputs:
      told: ${{ steps.ask.outputs.told }}
    steps:
      - uses: actions/checkout@v6
      - name: Ask
        id: ask
        env:
          VARIABLE: ${{ vars.PLACE }}
          SECRET: ${{ secrets.KEY }}
          TYPE: ${{ github.event.action }}
          VALUE: ${{ github.event.client_payload.a[0] }}
          SHA: ${{ github.sha }}
        run: |
          cat notes.txt
          echo "who $GITHUB_REPOSITORY $GITHUB_RUN_ID $GITHUB_RUN_ATTEMPT $GITHUB_REF $SHA"
          echo "asked for $TYPE with $VALUE at $VARIABLE by $GITHUB_ACTOR; KEY is ${KEY:-unset}"
          test "$SECRET" = "$(printf 'line 1\\nline "2" $x')"
          node --version
          token=$(node -e '
            const env = process.env;
            const headers = {authorization: `bearer ${env.ACTIONS_ID_TOKEN_REQUEST_TOKEN}`};
            fetch(`${env.ACTIONS_ID_TOKEN_REQUEST_URL}&audience=api://zekt`, {headers})
              .then((answer) => answer.json())
              .then(({value}) => console.log(value))')
          echo "told=$token" >> "$GITHUB_OUTPUT"
  after:
    name: And then
    needs: ask
    runs-on: [self-hosted, big]
    steps:
      - run: echo "token ${{ needs.ask.outputs.told }}"
  never:
    needs: ask
    if: needs.ask.outputs.told == ''
    runs-on: ubuntu-latest
    steps:
      - run: exit 1
"""
BROKEN = """
on: [push]
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: 'echo "may ask: ${ACTIONS_ID_TOKEN_REQUEST_URL:-no}"'
      - run: exit 3
      - run: echo not reached
"""
UNKNOWN = "on: [push]\njobs:\n  build: {runs-on: ubuntu-latest, steps: [{uses: nobody/here@v1}]}\n"
OF_A_BRANCH = """
name: Next
on: [push]
permissions: {id-token: write}
jobs:
  try:
    runs-on: big
    steps:
      - name: Ask
        run: 'echo "may ask: ${ACTIONS_ID_TOKEN_REQUEST_URL:+yes}"'
"""
SLOW = """
on: [push]
jobs: {build: {runs-on: ubuntu-latest, steps: [{run: 'echo "as $$"; sleep 600'}]}}
"""


@pytest.fixture
def runner(scene: Scene, tmp_path: Path) -> ActRunner:
    runner = ActRunner(scene.github.core, tmp_path, {})
    scene.github.use_runner(runner)
    return runner


def said(run: WorkflowRun, word: str) -> str:
    """What follows this word in the run's log."""
    return next(line.partition(f": {word} ")[2] for line in run.log if f": {word} " in line)


@pytest.mark.usefixtures("runner")
async def test_a_dispatch_starts_a_file_as_on_github(scene: Scene) -> None:
    scene.api.secrets["KEY"] = 'line 1\nline "2" $x'
    scene.api.variables["PLACE"] = "here"
    scene.github.write_file(scene.api, "notes.txt", "checked out\n")
    scene.github.add_workflow(scene.api, "who.yml", text=WHO)
    token = await scene.client.token(scene.installation)
    await scene.client.dispatch(token, scene.api.full_name, "build", {"a": ["b"]})
    await scene.github.settle()

    (run,) = scene.github.runs
    assert (run.status, run.conclusion) == ("completed", "success"), run.log
    assert "ask: checked out" in run.log
    where = f"{scene.api.full_name} {run.id} 1 refs/heads/main {run.head_sha}"
    assert said(run, "who") == where
    assert said(run, "asked") == f"for build with b at here by {scene.app.bot.login}; KEY is unset"
    assert any(line.startswith("ask: v24.") for line in run.log)
    claims = jwt.decode(said(run, "token"), options={"verify_signature": False})
    assert (claims["run_id"], claims["aud"]) == (str(run.id), "api://zekt")
    hosted, echo = ("ubuntu-latest",), 'Run echo "token ${{ needs.ask.outputs.told }}"'
    jobs = [(job.name, job.labels, job.steps, job.conclusion) for job in run.jobs]
    assert jobs == [
        ("ask", hosted, ("Run actions/checkout@v6", "Ask"), "success"),
        ("And then", ("self-hosted", "big"), (echo,), "success"),
        ("never", hosted, (), "skipped"),
    ]
    ran = ["workflow_job.queued", "workflow_job.in_progress", "workflow_job.completed"]
    assert [hook.named for hook in scene.receiver.hooks] == [
        "workflow_run.requested",
        "workflow_run.in_progress",
        *ran * 2,
        *("workflow_job.queued", "workflow_job.completed"),
        "workflow_run.completed",
    ]


@pytest.mark.usefixtures("runner")
async def test_a_run_ends_as_its_jobs_do(scene: Scene) -> None:
    texts = {
        "broken": BROKEN,
        "unknown": UNKNOWN,
        "none": "on: [push",
        "empty": "on: [push]\njobs:\n",
    }
    for name, text in texts.items():
        scene.github.add_workflow(scene.api, f"{name}.yml", text=text)
    broken = await scene.github.run_workflow(scene.api, "broken.yml")
    assert (broken.conclusion, broken.jobs[0].conclusion) == ("failure", "failure")
    assert "build: may ask: no" in broken.log
    assert not any("not reached" in line for line in broken.log)
    unknown = await scene.github.run_workflow(scene.api, "unknown.yml")
    assert unknown.conclusion == "failure"
    assert any("nobody/here" in line for line in unknown.log)
    for name in ("none", "empty"):
        run = await scene.github.run_workflow(scene.api, f"{name}.yml")
        assert (run.conclusion, run.jobs) == ("startup_failure", [])
        assert "workflow is not valid" in run.log[0], name


@pytest.mark.usefixtures("runner")
async def test_a_branchs_own_file_is_what_runs(scene: Scene) -> None:
    scene.github.add_workflow(scene.api, "build.yml", text=BROKEN)
    scene.github.write_file(scene.api, ".github/workflows/build.yml", OF_A_BRANCH, "next")
    run = await scene.github.run_workflow(scene.api, "build.yml", head_branch="next")
    assert run.conclusion == "success", run.log
    (job,) = run.jobs
    assert (job.name, job.labels, job.steps) == ("try", ("big",), ("Ask",))
    assert "try: may ask: yes" in run.log


@pytest.mark.usefixtures("runner")
async def test_a_github_that_stops_ends_what_it_runs(scene: Scene) -> None:
    scene.github.add_workflow(scene.api, "slow.yml", text=SLOW)
    going = asyncio.create_task(scene.github.run_workflow(scene.api, "slow.yml"))
    while not (run := scene.github.runs and scene.github.runs[0]) or ": as " not in str(run.log):
        await asyncio.sleep(0.02)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    with suppress(ProcessLookupError):
        while True:
            os.kill(int(said(run, "as")), 0)
            await asyncio.sleep(0.02)
