"""Runs and jobs out of webhooks, in whatever order they come."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from zekt_bot.db import audit, inbox, mirror, proofs, runs, services, units
from zekt_bot.domain.events import Job, RunFacts, RunKey, every_seen_job_completed
from zekt_bot.domain.ids import new_correlation_id, new_id
from zekt_bot.domain.names import is_elsewhere, path_in, workflow_path
from zekt_bot.domain.proof import EXACT, named_in
from zekt_bot.errors import MalformedEvent
from zekt_bot.operations import fields, resting_services
from zekt_bot.operations.proving import proving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Connection

    from zekt_bot.db.proofs import Proving
    from zekt_bot.db.workflows import Workflow
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Repository, Service
    from zekt_bot.domain.events import Run
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.installations import News

_log = structlog.get_logger()


class _Collected(NamedTuple):
    inbox_id: str
    key: RunKey
    fresh: Mapping[str, Any]
    now: datetime
    grace: timedelta
    facts: RunFacts | None = None
    job: Job | None = None
    entry: Entry | None = None
    recovered: bool = False
    proving: Proving | None = None

    @property
    def completed(self) -> bool:
        """Whether this tells a run's end."""
        return self.facts is not None and self.facts.status == "completed"

    def ends(self, run: Run) -> bool:
        """Whether gathering ends with this, if all jobs are done."""
        return run.state == "gathering" if self.job else run.state == "open" and self.completed


def run_facts(body: Mapping[str, Any]) -> RunFacts:
    """GitHub's `workflow_run` webhook as facts.

    The workflow's name is `workflow.name`: `workflow_run.name` is the run's own name where
    `run-name` is set. Source: https://docs.github.com/webhooks/webhook-events-and-payloads
    """
    run = fields.part(body, "workflow_run")
    workflow = fields.optional_part(body, "workflow")
    head = fields.optional_part(run, "head_repository")
    actor = fields.optional_part(run, "actor")
    created_at = fields.moment(run, "created_at")
    completed = run.get("status") == "completed"
    return RunFacts(
        workflow_path=_path(run, workflow, fields.optional_part(body, "repository") or {}),
        workflow_name=fields.optional_text(workflow or run, "name") or "",
        run_number=fields.number(run, "run_number"),
        event=fields.text(run, "event", 100),
        status=fields.text(run, "status", 40),
        conclusion=fields.optional_text(run, "conclusion", 40),
        head_branch=fields.optional_text(run, "head_branch"),
        head_sha=fields.text(run, "head_sha", 64),
        head_repository_id=fields.number(head, "id") if head else None,
        html_url=fields.text(run, "html_url", 2000),
        actor=fields.optional_text(actor, "login", 200) if actor else None,
        display_title=(fields.optional_text(run, "display_title", 100_000) or "")[:1000],
        created_at=created_at,
        started_at=fields.optional_moment(run, "run_started_at") or created_at,
        completed_at=fields.moment(run, "updated_at") if completed else None,
    )


def _path(run: dict[str, Any], workflow: dict[str, Any] | None, repository: dict[str, Any]) -> str:
    """The workflow's own path; a run's may end with `@REF`, and a file's name with anything."""
    here = fields.optional_text(repository, "full_name") or ""
    told = path_in(here, fields.text(run, "path", 1000))
    own = fields.optional_text(workflow, "path", 1000) if workflow else None
    if own is None or is_elsewhere(told):
        return workflow_path(told)
    if told != own and not told.startswith(f"{own}@"):
        raise MalformedEvent("workflow_run.path is not that of its workflow")
    return own


def job_facts(body: Mapping[str, Any]) -> Job:
    """GitHub's `workflow_job` webhook as a job."""
    job = fields.part(body, "workflow_job")
    return Job(
        job_id=fields.number(job, "id"),
        name=fields.text(job, "name"),
        status=fields.text(job, "status", 40),
        conclusion=fields.optional_text(job, "conclusion", 40),
        started_at=fields.optional_moment(job, "started_at"),
        completed_at=fields.optional_moment(job, "completed_at"),
    )


async def collect_run(broker: Broker, news: News) -> str:
    """Learn what a `workflow_run` webhook says; a completed one begins to gather.

    Answers the run's correlation id, as `collect_job` does.
    """
    run, repository = fields.part(news.body, "workflow_run"), fields.part(news.body, "repository")
    key = RunKey(
        fields.number(repository, "id"), fields.number(run, "id"), fields.number(run, "run_attempt")
    )
    return await _collect(broker, news, key, facts=run_facts(news.body))


async def collect_job(broker: Broker, news: News) -> str:
    """Learn what a `workflow_job` webhook says; the last one ends the gathering."""
    job, repository = fields.part(news.body, "workflow_job"), fields.part(news.body, "repository")
    key = RunKey(
        fields.number(repository, "id"),
        fields.number(job, "run_id"),
        fields.number(job, "run_attempt"),
    )
    return await _collect(broker, news, key, job=job_facts(news.body))


async def _collect(
    broker: Broker,
    news: News,
    key: RunKey,
    facts: RunFacts | None = None,
    job: Job | None = None,
) -> str:
    now = broker.now()
    correlation_id = new_correlation_id()
    completed = facts is not None and facts.status == "completed"
    collected = _Collected(
        inbox_id=news.inbox_id,
        key=key,
        fresh={"id": new_id("run", now), "correlation_id": correlation_id, "received_at": now},
        now=now,
        grace=broker.settings.job_grace,
        facts=facts,
        job=job,
        recovered=news.recovered,
        entry=await broker.entry("github:run:completed", "github", repository_id=key.repository_id)
        if completed
        else None,
        proving=await proving(broker, key) if facts and named_in(facts) else None,
    )
    written = await broker.database.write(_write, collected)
    while written is None:  # what it came of is known, though its title does not say it
        collected = collected._replace(proving=await proving(broker, key))
        written = await broker.database.write(_write, collected)
    found, resting = written
    await resting_services.wake(broker, resting)
    _log.info(
        "run.collected" if facts else "job.collected",
        correlation_id=found,
        inbox_id=news.inbox_id,
        delivery=news.guid,
        run_id=key.run_id,
        run_attempt=key.run_attempt,
        status=facts.status if facts else job.status if job else None,
    )
    return found


def _write(
    connection: Connection, rows: Sequence[_Collected]
) -> list[tuple[str, tuple[Service, ...]] | None]:
    """Answers each run's correlation id, and the services that rest though their workflow runs.

    None: it proves something, and what the audit is told of that is missing.
    """
    known = mirror.repositories_by_id(connection, {row.key.repository_id for row in rows})
    met: dict[str, str] = {}
    ran: dict[str, Workflow] = {}
    proved: list[tuple[str, Proving]] = []
    for some in _rounds(rows):
        news = [each for each in _meet(connection, some, known) if not _lacks_proof(*each)]
        for row, run in news:
            met[row.inbox_id] = run.correlation_id
            if row.facts and run.state == "open":
                ran[row.inbox_id] = (row.key.repository_id, row.facts.workflow_path)
        proved += _learn(connection, news, {key for key, each in known.items() if each.provider})
    proofs.settle(connection, proved)
    resting = services.gone(connection, ran.values())
    inbox.processed(connection, list(met), rows[0].now)
    return [
        (met[each], _of(resting, ran.get(each))) if each in met else None
        for each in (row.inbox_id for row in rows)
    ]


def _lacks_proof(row: _Collected, run: Run) -> bool:
    """Whether it is known for certain what the run came of, and no entry was made for that."""
    open_still = row.facts is not None and run.state == "open"
    return open_still and run.bound_by in EXACT and row.proving is None


def _rounds(rows: Sequence[_Collected]) -> list[list[_Collected]]:
    """Each run's news one after another: at most one of a run in a round."""
    of_run: dict[RunKey, list[_Collected]] = {}
    for row in rows:
        of_run.setdefault(row.key, []).append(row)
    return [[row for row in some if row] for some in zip_longest(*of_run.values())]


def _meet(
    connection: Connection, rows: Sequence[_Collected], known: Mapping[int, Repository]
) -> list[tuple[_Collected, Run]]:
    owners = {key: repository.account_id for key, repository in known.items()}
    fresh = {
        row.key: {**row.fresh, "account_id": owners.get(row.key.repository_id)} for row in rows
    }
    met = runs.meet(connection, fresh)
    return [
        (row, proofs.as_said(connection, met[row.key]) if row.facts else met[row.key])
        for row in rows
    ]


def _of(found: Sequence[Service], workflow: Workflow | None) -> tuple[Service, ...]:
    return tuple(each for each in found if (each.repository_id, each.workflow_path) == workflow)


def _learn(
    connection: Connection, news: Sequence[tuple[_Collected, Run]], providers: set[int]
) -> list[tuple[str, Proving]]:
    """Write one news of each run; answers what proves the deliveries that they came of."""
    runs.put_jobs(connection, {run.id: row.job for row, run in news if row.job})
    ending = [run.id for row, run in news if row.ends(run)]
    jobs = runs.jobs_of(connection, ending)
    done = {run_id for run_id in ending if every_seen_job_completed(jobs[run_id])}
    changes: dict[str, Mapping[str, Any]] = {}
    proved: list[tuple[str, Proving]] = []
    for row, run in news:
        if row.job:
            changes[run.id] = {"due_at": row.now} if run.id in done else {}
        elif row.facts and run.state == "open":  # it ends once: what was sent is not taken back
            binding = proofs.bind(connection, run, row.facts)
            ended = _ended(row, row.key.repository_id in providers, run.id in done)
            changes[run.id] = _columns(row.facts) | binding._asdict() | ended
            if binding.caused_by_delivery_id and binding.bound_by in EXACT and row.proving:
                proved.append((binding.caused_by_delivery_id, row.proving))
            if row.entry:
                audit.record(connection, replace(row.entry, correlation_id=run.correlation_id))
    runs.change(connection, changes)
    if any("due_at" in values for values in changes.values()):
        units.wake(connection, "runs")
    return proved


def _columns(facts: RunFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in facts.__dataclass_fields__}


def _ended(row: _Collected, provider: bool, jobs_are_done: bool) -> dict[str, Any]:
    """What becomes of a run that has ended; nothing yet of one that has not."""
    if not row.completed:
        return {}
    recovered_at = row.now if row.recovered else None
    if not provider:
        return {"recovered_at": recovered_at, "state": "done"}
    gather_until = row.now + row.grace
    return {
        "recovered_at": recovered_at,
        "state": "gathering",
        "gather_until": gather_until,
        "due_at": row.now if jobs_are_done else gather_until,
    }
