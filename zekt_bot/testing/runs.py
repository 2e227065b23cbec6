"""Workflow runs and their jobs: what a script starts and finishes.

Source: https://docs.github.com/webhooks/webhook-events-and-payloads#workflow_run
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from zekt_bot.testing.model import sha1

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from zekt_bot.testing.model import Account, Repository, Workflow
    from zekt_bot.testing.shapes import Json


class Stage(Protocol):
    """What a run needs of the simulator that it plays in."""

    def now(self) -> datetime:
        """The present moment."""
        ...

    def next_id(self, kind: str) -> int:
        """A new number."""
        ...

    async def announce_run(self, run: WorkflowRun, action: str) -> None:
        """Send the `workflow_run` webhook."""
        ...

    async def announce_job(self, job: Job, action: str) -> None:
        """Send the `workflow_job` webhook."""
        ...


class Runner(Protocol):
    """What runs the jobs of workflow files in earnest."""

    async def run(self, run: WorkflowRun) -> str:
        """Run the present attempt's jobs, tell of each, and give the run's conclusion."""
        ...


class RunOptions(TypedDict, total=False):
    """What a run may be told at its start."""

    event: str
    head_branch: str | None
    head_sha: str
    fork: Repository | None
    """The repository that the commit is from, if it is another one."""
    fork_deleted: bool
    """That repository is gone: `head_repository` and `head_branch` are null."""
    actor: Account
    display_title: str
    commit_message: str
    client_payload: Any
    """What a `repository_dispatch` carried."""
    payload: Json
    """`github.event`, where more is in it than repository, ref and sender: such as `inputs`."""
    told_path: str
    """The path as the run tells it, if not the workflow's: such as one with `@REF`."""


class JobOptions(TypedDict, total=False):
    """What a job may be told at its start."""

    labels: Sequence[str]
    steps: Sequence[str]
    runner: str


@dataclass(eq=False)
class Job:
    """A job of one attempt of a run."""

    stage: Stage = field(repr=False)
    id: int
    run: WorkflowRun = field(repr=False)
    run_attempt: int
    name: str
    created_at: datetime
    started_at: datetime
    labels: tuple[str, ...] = ("ubuntu-latest",)
    steps: tuple[str, ...] = ("Run actions/checkout@v4", "Run make test")
    runner: str | None = None
    status: str = "queued"
    conclusion: str | None = None
    completed_at: datetime | None = None

    async def start(self, runner: str = "GitHub Actions 5") -> None:
        """Leave the queue."""
        self.status, self.runner, self.started_at = "in_progress", runner, self.stage.now()
        await self.stage.announce_job(self, "in_progress")

    async def complete(self, conclusion: str = "success") -> None:
        """End, in any of GitHub's words."""
        self.status, self.conclusion, self.completed_at = "completed", conclusion, self.stage.now()
        await self.stage.announce_job(self, "completed")


@dataclass(eq=False)
class WorkflowRun:
    """A run; `attempt` counts up on a re-run while `id` and `number` stay."""

    stage: Stage = field(repr=False)
    id: int
    workflow: Workflow
    number: int
    event: str
    actor: Account
    triggering_actor: Account
    created_at: datetime
    run_started_at: datetime
    updated_at: datetime
    head_branch: str | None
    head_sha: str
    head_repository: Repository | None
    commit_message: str
    check_suite_id: int
    path: str
    display_title: str
    client_payload: Any = None
    payload: Json | None = None
    log: list[str] = field(default_factory=list, repr=False)
    """What its jobs said, where a runner ran them."""
    attempt: int = 1
    status: str = "queued"
    conclusion: str | None = None
    jobs: list[Job] = field(default_factory=list)
    former_attempts: dict[int, WorkflowRun] = field(default_factory=dict, repr=False)

    @property
    def repository(self) -> Repository:
        """Where it runs."""
        return self.workflow.repository

    @property
    def name(self) -> str:
        """What GitHub calls the run: its title where the workflow sets `run-name`."""
        return self.display_title if self.workflow.run_name else self.workflow.name

    @property
    def latest_jobs(self) -> list[Job]:
        """The jobs of the present attempt."""
        return [job for job in self.jobs if job.run_attempt == self.attempt]

    async def start(self) -> None:
        """Leave the queue; does nothing if it has done so."""
        if self.status != "queued":
            return
        self._become("in_progress", None)
        await self.stage.announce_run(self, "in_progress")

    async def queue_job(self, name: str, **options: Any) -> Job:
        """A job that waits for a runner; `options` are `JobOptions`."""
        now = self.stage.now()
        number = self.stage.next_id("job")
        job = Job(self.stage, number, self, self.attempt, name, now, now)
        job.labels = tuple(options.get("labels", job.labels))
        job.steps = tuple(options.get("steps", job.steps))
        self.jobs.append(job)
        await self.stage.announce_job(job, "queued")
        return job

    async def start_job(self, name: str, **options: Any) -> Job:
        """A job that runs: `workflow_job` queued, the run `in_progress` if it was not, then
        `workflow_job` in_progress. `options` are `JobOptions`."""
        job = await self.queue_job(name, **options)
        await self.start()
        await job.start(options.get("runner", "GitHub Actions 5"))
        return job

    async def complete(self, conclusion: str = "success") -> None:
        """End this attempt, and with it the jobs that have not ended."""
        await self.start()
        for job in self.latest_jobs:
            if job.status != "completed":
                await job.complete(conclusion)
        self._become("completed", conclusion)
        await self.stage.announce_run(self, "completed")

    async def rerun(self, actor: Account | None = None) -> None:
        """Begin the next attempt. GitHub sends no `requested` for it, only `in_progress`."""
        self.former_attempts[self.attempt] = replace(self)
        self.attempt += 1
        self.log = []
        self.triggering_actor = actor or self.triggering_actor
        self.run_started_at = self.stage.now()
        self._become("queued", None)
        await self.start()

    def _become(self, status: str, conclusion: str | None) -> None:
        self.status, self.conclusion, self.updated_at = status, conclusion, self.stage.now()


def new_run(stage: Stage, workflow: Workflow, sender: Account, options: RunOptions) -> WorkflowRun:
    """A queued run of a workflow. Nothing is sent."""
    workflow.runs += 1
    number, now = stage.next_id("run"), stage.now()
    repository = workflow.repository
    actor = options.get("actor") or sender
    fork = options.get("fork")
    message = options.get("commit_message") or f"Change {workflow.runs} of {repository.name}"
    head: tuple[str | None, Repository | None] = (
        options.get("head_branch", repository.default_branch),
        fork or repository,
    )
    if options.get("fork_deleted"):
        head = None, None
    return WorkflowRun(
        stage=stage,
        id=number,
        workflow=workflow,
        number=workflow.runs,
        event=options.get("event", "push"),
        actor=actor,
        triggering_actor=actor,
        created_at=now,
        run_started_at=now,
        updated_at=now,
        head_branch=head[0],
        head_sha=options.get("head_sha") or sha1(repository.id, head[0], workflow.runs),
        head_repository=head[1],
        commit_message=message,
        check_suite_id=stage.next_id("suite"),
        path=options.get("told_path", workflow.path),
        display_title=options.get("display_title", message),
        client_payload=options.get("client_payload"),
        payload=options.get("payload"),
    )


def step_times(job: Job) -> list[tuple[str, datetime, datetime | None]]:
    """The job's steps with GitHub's own around them: name, begin, end."""
    names = ["Set up job", *job.steps, "Complete job"]
    begin = job.started_at
    span = ((job.completed_at or begin) - begin) / len(names)
    ends = job.completed_at is not None
    return [
        (name, begin + i * span, begin + (i + 1) * span if ends else None)
        for i, name in enumerate(names)
    ]
