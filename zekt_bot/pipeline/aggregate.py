"""A finished run and its messages become envelopes, or the reason why not stands on the run.

What most runs make is matched at once: a run, its event and whoever hears of it are one commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from zekt_bot.db import audit, kept, proofs, runs, services, subscriptions, units, usage
from zekt_bot.db.envelopes import Advance
from zekt_bot.db.present import present
from zekt_bot.db.tables import repositories
from zekt_bot.db.tables import runs as runs_table
from zekt_bot.db.tables import services as services_table
from zekt_bot.db.tables import subscriptions as subscriptions_table
from zekt_bot.domain.audit import SYSTEM
from zekt_bot.domain.deliveries import RunPolicyFacts
from zekt_bot.domain.events import AggregationPolicy, Envelope
from zekt_bot.domain.ids import new_id
from zekt_bot.domain.quotas import Quota, Used
from zekt_bot.domain.recovery import withheld
from zekt_bot.errors import PluginFailed
from zekt_bot.pipeline import fan_out
from zekt_bot.pipeline.fan_out import PAGE, FannedOut, Page
from zekt_bot.pipeline.pages import Step, each

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.kept import KeptFacts
    from zekt_bot.db.versions import Read
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import AllowedWorkflow, Repository, Service
    from zekt_bot.domain.events import Draft, Job, Message, Run
    from zekt_bot.domain.lanes import Pace
    from zekt_bot.domain.pauses import Subject
    from zekt_bot.domain.subscriptions import Subscription
    from zekt_bot.operations.broker import Broker

_ONE = Used(events=1)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Read:
    run: Run
    jobs: list[Job]
    messages: list[Message]
    repository: Repository
    allowed: AllowedWorkflow | None
    used: Used
    service: Service | None
    subscribers: Sequence[tuple[Subscription, Repository]]
    paused: frozenset[Subject]

    @property
    def at_once(self) -> bool:
        """Whether its only envelope is matched with it: for a page of subscribers at most.

        What is ordered must not pass by what waits.
        """
        ordered = any(held.ordered for held, _ in self.subscribers)
        return len(self.subscribers) < PAGE and not ordered

    def over(self, quota: Quota) -> bool:
        """Whether its account has had its events of the day; what was let out once is counted."""
        return self.run.aggregated_at is None and not self.used.leaves(quota, _ONE)


@dataclass(frozen=True, slots=True)
class _Settling:
    read: _Read
    values: Mapping[str, Any]
    envelopes: Sequence[Mapping[str, Any]]
    entry: Entry | None
    now: datetime
    quota: Quota
    fanned: FannedOut | None = None

    @property
    def counts(self) -> bool:
        """Whether this lets an event out for the first time, and events are counted."""
        first = self.read.run.aggregated_at is None
        return bool(self.quota.events and self.envelopes and first)


async def aggregate(
    broker: Broker, run_ids: Sequence[str], pace: Pace, facts: KeptFacts
) -> dict[str, Exception]:
    """Decide about a page of due runs and write it; answers those that failed, and why."""
    counted_at = broker.now() if broker.settings.quota.events else None
    read = partial(_read, facts=facts, counted_at=counted_at)
    decide = partial(_decide, pace=pace)
    return await each(broker, run_ids, Step(read, decide, _settle, _tell, _weigh))


def _tell(settling: _Settling) -> None:
    if settling.entry:  # else it waits for more
        _log.info(
            "run.aggregated",
            correlation_id=settling.read.run.correlation_id,
            envelopes=len(settling.envelopes),
            blocked=settling.values.get("blocked_reason"),
        )
    if settling.fanned:
        fan_out.tell(settling.fanned)


def _weigh(settling: _Settling) -> int:
    return fan_out.weigh(settling.fanned) if settling.fanned else 1


def _read(
    connection: Connection, run_ids: Sequence[str], facts: KeptFacts, counted_at: datetime | None
) -> dict[str, _Read]:
    """The due ones of `run_ids` with all that decides about them, in six statements (and some for
    each that another run may have led to, and two for repositories that are not kept).

    And in one more what their accounts have had on the day of `counted_at`.
    """
    due = {
        run.id: (proofs.with_hops(connection, run), run.facts)
        for run in runs.runs_of(connection, run_ids)
        if run.facts and run.state in {"gathering", "done"}
    }
    ran = {
        run_id: (run.key.repository_id, told.workflow_path) for run_id, (run, told) in due.items()
    }
    now = present(connection, repositories={owner for owner, _ in ran.values()})
    known = kept.repositories(connection, facts, now)
    # Of an account that was erased meanwhile nothing is decided, and its neighbours go on.
    due = {run_id: each for run_id, each in due.items() if ran[run_id][0] in known}
    allowed = kept.allowed(connection, facts, now, known, ran.values())
    jobs = runs.jobs_of(connection, list(due))
    messages = runs.unsent_messages(connection, list(due))
    owners = {each.account_id for each in known.values()}
    used = usage.used(connection, owners, counted_at) if counted_at else {}
    published = services.of_workflows(connection, ran.values())
    first = {(each.id, "") for each in published.values() if each.published}
    pages = subscriptions.subscribers(connection, first, PAGE)
    return {
        run_id: _Read(
            run=run,
            jobs=jobs[run_id],
            messages=messages[run_id],
            repository=known[run.key.repository_id],
            allowed=allowed.get(ran[run_id]),
            used=used.get(known[run.key.repository_id].account_id, Used()),
            service=(service := published.get(ran[run_id])),
            subscribers=pages.get((service.id, ""), []) if service else [],
            paused=now.on_hold,
        )
        for run_id, (run, _) in due.items()
    }


async def _decide(broker: Broker, read: _Read, pace: Pace) -> _Settling:
    now, run = broker.now(), read.run
    quota = broker.settings.quota
    over = read.over(quota)
    known = (read.repository, read.allowed, run.facts, run.from_fork)
    # What was let out once stays so: a message that comes late counts no hops anew.
    most_hops = broker.settings.max_hops if run.aggregated_at is None else None
    facts = RunPolicyFacts(*known, over_quota=over, most_hops=most_hops)
    done = {"state": "done", "due_at": None, "failures": 0, "reason": None, "hops": run.hops}
    late = withheld(run, read.repository, read.allowed, broker.settings.recover_max_age)
    if late:
        entry = await _entry(broker, run, "zekt:run:blocked", {"reason": late})
        return _Settling(read, {**done, "blocked_reason": late}, (), entry, now, quota)
    blocked = await broker.plugins.block_reason(run, facts)
    if blocked:
        entry = await _entry(broker, run, "zekt:run:blocked", blocked._asdict())
        return _Settling(read, {**done, "blocked_reason": blocked.reason}, (), entry, now, quota)
    policy = AggregationPolicy(broker.settings.job_grace.total_seconds())
    answer = await broker.plugins.aggregate(run, read.jobs, read.messages, now, policy)
    if isinstance(answer, datetime):
        return _Settling(read, {"due_at": answer}, (), None, now, quota)
    made = [_envelope(read, draft, now) for draft in answer]
    at_once = len(made) == 1 and read.at_once
    fanned = await _fanned(broker, read, made[0], pace) if at_once else None
    rows = [_row(broker, read, envelope, fanned) for envelope in made]
    entry = await _entry(broker, run, "zekt:run:aggregated", {"envelopes": len(rows)})
    first = run.aggregated_at or now  # how late a message may be counts from there
    return _Settling(read, {**done, "aggregated_at": first}, rows, entry, now, quota, fanned)


async def _fanned(broker: Broker, read: _Read, envelope: Envelope, pace: Pace) -> FannedOut | None:
    """A run's only envelope, matched; None: it waits for `match`, whose failure it then is."""
    clear = any(each.id == envelope.message_id and each.shield is None for each in read.messages)
    facts = RunPolicyFacts(read.repository, read.allowed, read.run.facts, read.run.from_fork)
    page = Page(
        envelope, read.run, facts, read.service, read.subscribers, read.paused, in_clear=clear
    )
    try:
        return await fan_out.decide(broker, page, pace)
    except PluginFailed:
        return None


async def _entry(broker: Broker, run: Run, verb: str, details: Mapping[str, str | int]) -> Entry:
    return await broker.entry(
        verb,
        SYSTEM,
        correlation_id=run.correlation_id,
        repository_id=run.key.repository_id,
        details=details,
    )


def _envelope(read: _Read, draft: Draft, now: datetime) -> Envelope:
    promised = {message.id: message.envelope_id for message in read.messages}
    return Envelope(
        id=promised.get(draft.message_id or "") or new_id("evt", now),
        run_id=read.run.id,
        kind=draft.kind,
        event_type=draft.event_type,
        message_id=draft.message_id,
        version=1,
        fanned_out_to="",
        created_at=now,
    )


def _row(
    broker: Broker, read: _Read, envelope: Envelope, fanned: FannedOut | None
) -> dict[str, Any]:
    now, body = envelope.created_at, metadata(read.run, read.jobs, read.repository.full_name)
    done = fanned.advance if fanned else Advance(envelope.id, "", again_at=now)  # it waits
    return {
        "id": envelope.id,
        "run": envelope.run_id,
        "account_id": read.repository.account_id,
        "kind": envelope.kind,
        "event_type": envelope.event_type,
        "message": envelope.message_id,
        "body": broker.database.keyring.seal(
            ("envelopes", "body", envelope.id), orjson.dumps(body)
        ),
        "version": envelope.version,
        "fanned_out_to": done.to,
        "filtered": done.more,
        "failures": 0,
        "created_at": now,
        "due_at": done.again_at,
        "blocked_reason": done.blocked,
    }


def metadata(run: Run, jobs: Sequence[Job], source: str) -> dict[str, Any]:
    """The event as it stands on the wire: `sourceRepo`, `workflow` and `jobs`."""
    facts = run.facts
    if facts is None:
        raise PluginFailed("A run without facts has no event.")
    return {
        "sourceRepo": source,
        "workflow": {
            "name": facts.workflow_name,
            "path": facts.workflow_path,
            "runId": run.key.run_id,
            "runAttempt": run.key.run_attempt,
            "runNumber": facts.run_number,
            "event": facts.event,
            "conclusion": facts.conclusion,
            "headBranch": facts.head_branch,
            "headSha": facts.head_sha,
            "htmlUrl": facts.html_url,
            "actor": facts.actor,
            "startedAt": _wire(facts.started_at),
            "completedAt": _wire(facts.completed_at),
        },
        "jobs": [
            {
                "name": job.name,
                "conclusion": job.conclusion,
                "startedAt": _wire(job.started_at),
                "completedAt": _wire(job.completed_at),
            }
            for job in jobs
        ],
    }


def _wire(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _settle(connection: Connection, rows: Sequence[_Settling]) -> list[bool]:
    read, fanned = [_facts(row) for row in rows], [row.fanned for row in rows]
    standing = fan_out.standing(connection, fanned, read, to_change=runs_table)
    applied = {
        row.read.run.id: row
        for row, stands in zip(rows, standing, strict=True)
        if stands and _has_room(connection, row)
    }
    runs.change(connection, {run_id: row.values for run_id, row in applied.items()})
    made = [envelope for row in applied.values() for envelope in row.envelopes]
    runs.add_envelopes(connection, made)
    if any(envelope["due_at"] for envelope in made):
        units.wake(connection, "envelopes")
    if any(row.values.get("due_at") for row in applied.values()):  # it waits for more
        units.wake(connection, "runs")
    for row in applied.values():
        if row.entry and _is_told(connection, row):
            audit.record(connection, row.entry)
    fan_out.write(connection, [row.fanned for row in applied.values() if row.fanned])
    return [row.read.run.id in applied for row in rows]


def _facts(row: _Settling) -> Read:
    """Of all rows the same tables, whether they are matched or not."""
    if row.fanned:
        decided = fan_out.facts(row.fanned.page)
    else:
        own = {row.read.repository.id: row.read.repository.version}
        decided = {repositories: own, services_table: {}, subscriptions_table: {}}
    return decided | {runs_table: {row.read.run.id: row.read.run.version}}


def _has_room(connection: Connection, row: _Settling) -> bool:
    """Whether an event that is let out is still within the quota; it is counted from here on."""
    if not row.counts:
        return True
    account_id = row.read.repository.account_id
    if not usage.hold(connection, account_id, row.now).leaves(row.quota, _ONE):
        return False
    usage.add(connection, account_id, row.now, _ONE)
    return True


def _is_told(connection: Connection, row: _Settling) -> bool:
    """Of an account that has no more room the audit hears once an hour."""
    if row.values.get("blocked_reason") != "quota":
        return True
    return usage.tell(connection, row.read.repository.account_id, row.now)
