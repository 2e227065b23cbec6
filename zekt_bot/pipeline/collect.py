"""Runs and jobs out of webhooks, in whatever order they come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.db import audit, inbox, mirror, proofs, runs, services
from zekt_bot.domain.catalog import workflow_path
from zekt_bot.domain.events import Job, RunFacts, RunKey, every_seen_job_completed
from zekt_bot.domain.ids import new_correlation_id, new_id
from zekt_bot.domain.proof import EXACT
from zekt_bot.errors import MalformedEvent
from zekt_bot.operations import fields, resting_services
from zekt_bot.pipeline.prove import proving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Connection

    from zekt_bot.db.proofs import Proving
    from zekt_bot.db.workflows import Workflow
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Service
    from zekt_bot.domain.events import Run
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.installations import News

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Collected:
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


def run_facts(body: Mapping[str, Any]) -> RunFacts:
    """GitHub's `workflow_run` webhook as facts.

    The workflow's name is `workflow.name`: `workflow_run.name` is the run's own name where
    `run-name` is set. Source: https://docs.github.com/webhooks/webhook-events-and-payloads
    """
    run = fields.part(body, "workflow_run")
    workflow = fields.optional_part(dict(body), "workflow") or run
    head = fields.optional_part(run, "head_repository")
    actor = fields.optional_part(run, "actor")
    created_at = fields.moment(run, "created_at")
    completed = run.get("status") == "completed"
    return RunFacts(
        workflow_path=_path(run, fields.optional_part(dict(body), "workflow")),
        workflow_name=fields.optional_text(workflow, "name") or "",
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


def _path(run: dict[str, Any], workflow: dict[str, Any] | None) -> str:
    """The workflow's own path; a run's may end with `@REF`, and a file's name with anything."""
    told = fields.text(run, "path", 1000)
    own = fields.optional_text(workflow, "path", 1000) if workflow else None
    if own is None:
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
        proving=await proving(broker, key, facts) if facts else None,
    )
    found, resting = await broker.database.write(_write, collected)
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
) -> list[tuple[str, tuple[Service, ...]]]:
    """Answers each run's correlation id, and the services that rest though their workflow runs."""
    known = mirror.repositories_by_id(connection, {row.key.repository_id for row in rows})
    met: dict[str, str] = {}
    ran: dict[str, Workflow] = {}
    proved: dict[str, Proving] = {}
    for row in sorted(rows, key=lambda row: row.key):  # every unit locks runs in this order
        repository = known.get(row.key.repository_id)
        fresh = {**row.fresh, "account_id": repository.account_id if repository else None}
        run = runs.meet(connection, row.key, fresh)
        met[row.inbox_id] = run.correlation_id
        if row.facts:
            if run.state == "open":
                ran[row.inbox_id] = (row.key.repository_id, row.facts.workflow_path)
            provider = repository is not None and repository.provider
            delivery_id = _learn_run(connection, row, run, provider=provider)
            if delivery_id and row.proving:
                proved[delivery_id] = row.proving
        if row.job:
            _learn_job(connection, row, run)
    proofs.settle(connection, proved)
    resting = services.gone(connection, ran.values())
    inbox.processed(connection, [row.inbox_id for row in rows], rows[0].now)
    return [(met[each], _of(resting, ran.get(each))) for each in (row.inbox_id for row in rows)]


def _of(found: Sequence[Service], workflow: Workflow | None) -> tuple[Service, ...]:
    return tuple(each for each in found if (each.repository_id, each.workflow_path) == workflow)


def _learn_run(connection: Connection, row: _Collected, run: Run, *, provider: bool) -> str | None:
    """Answers the delivery that it came of for certain."""
    facts = row.facts
    if facts is None or run.state != "open":
        return None  # a run ends once: what was sent about it is not taken back
    binding = proofs.bind(connection, run, facts)
    values = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
    values |= binding._asdict()
    if facts.status == "completed":
        values["recovered_at"] = row.now if row.recovered else None
        _end_run(connection, row, run, values, provider=provider)
    else:
        runs.change(connection, run.id, **values)
    return binding.caused_by_delivery_id if binding.bound_by in EXACT else None


def _end_run(
    connection: Connection, row: _Collected, run: Run, values: Mapping[str, Any], *, provider: bool
) -> None:
    if row.entry:
        audit.record(connection, replace(row.entry, correlation_id=run.correlation_id))
    if not provider:
        runs.change(connection, run.id, **values, state="done")
        return
    gather_until = row.now + row.grace
    runs.change(
        connection,
        run.id,
        **values,
        state="gathering",
        gather_until=gather_until,
        due_at=row.now if _jobs_are_done(connection, run.id) else gather_until,
    )
    audit.wake(connection, "runs")


def _jobs_are_done(connection: Connection, run_id: str) -> bool:
    return every_seen_job_completed(runs.jobs_of(connection, [run_id])[run_id])


def _learn_job(connection: Connection, row: _Collected, run: Run) -> None:
    if row.job is None:
        return
    runs.put_job(connection, run.id, row.job)
    if run.state == "gathering" and every_seen_job_completed(
        runs.jobs_of(connection, [run.id])[run.id]
    ):
        runs.change(connection, run.id, due_at=row.now)
        audit.wake(connection, "runs")
    else:
        runs.change(connection, run.id)
