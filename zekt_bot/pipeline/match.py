"""An envelope becomes deliveries, one a subscription, in pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.db import (
    audit,
    deliveries,
    envelopes,
    kept,
    lanes,
    pauses,
    runs,
    sequences,
    services,
    subscriptions,
    tables,
    versions,
)
from zekt_bot.db.envelopes import Advance
from zekt_bot.db.present import present
from zekt_bot.domain.audit import SYSTEM, Entry
from zekt_bot.domain.deliveries import (
    Delivery,
    DeliveryPolicyFacts,
    EnvelopePolicyFacts,
    RunPolicyFacts,
)
from zekt_bot.domain.events import Blocked
from zekt_bot.domain.ids import new_id
from zekt_bot.domain.lanes import lane_of, spread
from zekt_bot.domain.pauses import holding
from zekt_bot.domain.recovery import in_time
from zekt_bot.errors import PluginFailed
from zekt_bot.pipeline.pages import Step, each

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Table

    from zekt_bot.db.kept import KeptFacts
    from zekt_bot.domain.catalog import Repository, Service
    from zekt_bot.domain.events import Envelope, Run
    from zekt_bot.domain.lanes import Pace
    from zekt_bot.domain.pauses import Subject
    from zekt_bot.domain.subscriptions import Subscription
    from zekt_bot.operations.broker import Broker

PAGE = 125
_FAILED_DECISION = timedelta(seconds=30)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Read:
    envelope: Envelope
    run: Run
    provider: RunPolicyFacts
    service: Service | None
    page: Sequence[tuple[Subscription, Repository]]
    paused: frozenset[Subject]
    in_clear: bool

    @property
    def last(self) -> bool:
        """Whether no further page follows."""
        return len(self.page) < PAGE

    def due_at(self, number: int, now: datetime) -> datetime:
        """When the delivery of this number in the page, which is written now, is due."""
        before = (self.envelope.version - 1) * PAGE  # each page that was written has raised it
        return now + spread(before + number)


@dataclass(frozen=True, slots=True)
class _Matching:
    read: _Read
    advance: Advance
    pace: Pace
    now: datetime
    rows: Sequence[Mapping[str, Any]] = ()
    entries: Sequence[Entry] = ()


async def match(
    broker: Broker, envelope_ids: Sequence[str], pace: Pace, facts: KeptFacts
) -> dict[str, Exception]:
    """Write the next page of deliveries of each envelope; answers those that failed, and why."""
    read = partial(_read, kept_facts=facts)
    decide = partial(_decide, pace=pace)
    return await each(broker, envelope_ids, Step(read, decide, _apply, _tell, _weigh))


def _tell(matching: _Matching) -> None:
    read = matching.read
    _log.info(
        "envelope.matched",
        correlation_id=read.run.correlation_id,
        event_id=read.envelope.id,
        deliveries=len(matching.rows),
        blocked=matching.advance.blocked,
        service=read.service.slug if read.service else None,
    )


def _weigh(matching: _Matching) -> int:
    return len(matching.rows) or 1


def _read(
    connection: Connection, envelope_ids: Sequence[str], kept_facts: KeptFacts
) -> dict[str, _Read]:
    """The envelopes with all that decides about them: six statements, one for each later page of
    subscribers that no neighbour needs too, and two for repositories that are not kept.
    """
    found = envelopes.envelopes_of(connection, envelope_ids)
    by_id = {run.id: run for run in runs.runs_of(connection, [e.run_id for e in found])}
    ran = {
        run.id: (run.key.repository_id, run.facts.workflow_path if run.facts else "")
        for run in by_id.values()
    }
    now = present(connection, repositories={owner for owner, _ in ran.values()})
    known = kept.repositories(connection, kept_facts, now)
    allowed = kept.allowed(connection, kept_facts, now, known, ran.values())
    published = services.of_workflows(connection, ran.values())
    in_clear = runs.in_clear(connection, [e.message_id for e in found if e.message_id])
    asked = {
        each.id: (service.id, each.fanned_out_to)
        for each in found
        if (service := published.get(ran[each.run_id])) and service.published
    }
    pages = subscriptions.subscribers(connection, set(asked.values()), PAGE)
    reads = {}
    for envelope in found:
        run, workflow = by_id[envelope.run_id], ran[envelope.run_id]
        if workflow[0] not in known:  # its account was erased meanwhile
            continue
        service = published.get(workflow)
        page = pages[asked[envelope.id]] if envelope.id in asked else []
        facts = RunPolicyFacts(known[workflow[0]], allowed.get(workflow), run.facts, run.from_fork)
        clear = envelope.message_id in in_clear
        reads[envelope.id] = _Read(envelope, run, facts, service, page, now.on_hold, clear)
    return reads


async def _decide(broker: Broker, read: _Read, pace: Pace) -> _Matching:
    now, service = broker.now(), read.service
    done = Advance(read.envelope.id, read.envelope.fanned_out_to)
    if service is None or not service.published:
        return _Matching(read, done, pace, now)
    facts = EnvelopePolicyFacts(service, read.in_clear)
    blocked = await broker.plugins.block_reason(read.envelope, facts)
    if blocked:
        entry = await broker.entry(
            "zekt:envelope:blocked",
            SYSTEM,
            correlation_id=read.run.correlation_id,
            repository_id=read.run.key.repository_id,
            details={**blocked._asdict(), "event": read.envelope.id},
        )
        done = done._replace(blocked=blocked.reason)
        return _Matching(read, done, pace, now, entries=(entry,))
    wanting = [
        (held, consumer)
        for held, consumer in read.page
        if held.wants(read.envelope.event_type, read.run.facts)
        and in_time(held, consumer, read.run)
    ]
    decided = await _deliveries(broker, read, wanting)
    rows = [row for row, _ in decided]
    done = done._replace(more=len(read.page) - len(rows), again_at=None if read.last else now)
    if read.page:
        done = done._replace(to=read.page[-1][0].id)
    entries = await broker.entries([_entry(read, *each) for each in decided])
    return _Matching(read, done, pace, now, rows, entries)


async def _deliveries(
    broker: Broker, read: _Read, wanting: Sequence[tuple[Subscription, Repository]]
) -> list[tuple[dict[str, Any], Blocked | None]]:
    """The page's rows, all decided about at once."""
    now = broker.now()
    asked = [(_delivery(read, *each, now), _facts(read, *each)) for each in wanting]
    answers = await broker.plugins.block_reasons(asked)
    return [
        (
            _row(read, *each, answer, read.due_at(number, now)),
            answer if isinstance(answer, Blocked) else None,
        )
        for number, (each, answer) in enumerate(zip(asked, answers, strict=True))
    ]


def _facts(read: _Read, held: Subscription, consumer: Repository) -> DeliveryPolicyFacts:
    return DeliveryPolicyFacts(
        run=read.provider,
        service=read.service,
        subscription=held,
        provider=read.provider.repository,
        consumer=consumer,
        event_type=read.envelope.event_type,
        in_clear=read.in_clear,
    )


def _delivery(read: _Read, held: Subscription, consumer: Repository, now: datetime) -> Delivery:
    return Delivery(
        id=new_id("dlv", now),
        envelope_id=read.envelope.id,
        cause_kind="subscription",
        cause_id=held.id,
        replay_no=0,
        target_repository_id=consumer.id,
        channel=held.channel,
        lane=lane_of(held, consumer),
        state="pending",
        attempts=0,
        created_at=now,
    )


def _row(
    read: _Read,
    delivery: Delivery,
    facts: DeliveryPolicyFacts,
    answer: Blocked | PluginFailed | None,
    due_at: datetime,
) -> dict[str, Any]:
    """One whose decision failed is decided before its POST."""
    held, ends = facts.subscription, (facts.provider.account_id, facts.consumer.account_id)
    service_id = held.service_id if held else ""
    on_hold = holding(ends, service_id, delivery.cause_id, read.paused)
    failed = isinstance(answer, PluginFailed)
    reason = answer.reason if isinstance(answer, Blocked) else None
    now = delivery.created_at
    due_at = now + _FAILED_DECISION if failed else due_at
    # What is ordered waits for its turn first; a pause is asked about when that has come.
    ordered = held is not None and held.ordered is not None
    waits = on_hold is not None and not (reason or ordered)
    return {
        **{name: getattr(delivery, name) for name in _COLUMNS},
        "envelope": delivery.envelope_id,
        "service_id": service_id,
        "provider_account_id": ends[0],
        "consumer_account_id": ends[1],
        "state": "blocked" if reason else "pending",
        "blocked_reason": reason,
        "failures": int(failed),
        "updated_at": now,
        "sequence_key": delivery.cause_id if ordered else None,
        "waits_for": "sequence" if ordered else "pause" if waits else None,
        "reason": on_hold if waits else None,
        "due_at": None if reason or waits or ordered else due_at,
    }


_COLUMNS = tuple(name for name in Delivery.__dataclass_fields__ if name != "envelope_id")


def _entry(read: _Read, row: Mapping[str, Any], blocked: Blocked | None) -> Entry:
    details: dict[str, str | int] = {"event": read.envelope.id, "subscription": row["cause_id"]}
    return Entry(
        verb=f"zekt:delivery:{'blocked' if blocked else 'created'}",
        actor=SYSTEM,
        correlation_id=read.run.correlation_id,
        delivery_id=row["id"],
        account_id=row["consumer_account_id"],
        repository_id=row["target_repository_id"],
        details=details | (blocked._asdict() if blocked else {}),
    )


def _apply(connection: Connection, rows: Sequence[_Matching]) -> list[bool]:
    """Decisions whose facts still stand; all their deliveries at once, so that every unit locks
    lanes in the same order.
    """
    answers = _standing(connection, rows)
    standing = [row for row, stands in zip(rows, answers, strict=True) if stands]
    new = [delivery for row in standing for delivery in row.rows]
    if new:
        lanes.open_new(connection, {each["lane"] for each in new}, rows[0].now, rows[0].pace)
        deliveries.add(connection, new)
        turns = {each["sequence_key"]: rows[0].now for each in new if each["sequence_key"]}
        sequences.advance(connection, turns)
    envelopes.advance(connection, [row.advance for row in standing])
    for row in standing:
        for entry in row.entries:
            audit.record(connection, entry)
        if not row.read.last:
            audit.wake(connection, "envelopes")
    return answers


def _standing(connection: Connection, rows: Sequence[_Matching]) -> list[bool]:
    """Whether what each was decided on is still so; it is held, all rows' facts together."""
    read = [_versions(row.read) for row in rows]
    waiting = [
        {each["reason"] for each in row.rows if each["waits_for"] == "pause"} for row in rows
    ]
    on_hold = pauses.held(connection, set().union(*waiting))
    stand = versions.stand(connection, read)
    return [unmoved and paused <= on_hold for unmoved, paused in zip(stand, waiting, strict=True)]


# As everybody locks them.
_READ_IN_THIS_ORDER = (
    tables.repositories,
    tables.services,
    tables.subscriptions,
    tables.envelopes,
)


def _versions(read: _Read) -> dict[Table, dict[Any, int]]:
    ends = [read.provider.repository, *(consumer for _, consumer in read.page)]
    service = [read.service] if read.service else []
    held = [subscription for subscription, _ in read.page]
    facts: tuple[Sequence[Any], ...] = (ends, service, held, [read.envelope])
    return {
        table: {each.id: each.version for each in some}
        for table, some in zip(_READ_IN_THIS_ORDER, facts, strict=True)
    }
