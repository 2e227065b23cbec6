"""A page of an envelope's subscribers becomes deliveries, one a subscription."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.db import audit, deliveries, pauses, sequences, tables, versions
from zekt_bot.db.envelopes import Advance
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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Table

    from zekt_bot.db.versions import Read
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
class Page:
    """An envelope, the next of its service's subscribers, and all else that decides about them."""

    envelope: Envelope
    run: Run
    provider: RunPolicyFacts
    service: Service | None
    subscribers: Sequence[tuple[Subscription, Repository]]
    paused: frozenset[Subject]
    in_clear: bool

    @property
    def last(self) -> bool:
        """Whether no further page follows."""
        return len(self.subscribers) < PAGE

    def due_at(self, number: int, now: datetime) -> datetime:
        """When the delivery of this number in the page, which is written now, is due."""
        before = (self.envelope.version - 1) * PAGE  # each page that was written has raised it
        return now + spread(before + number)


@dataclass(frozen=True, slots=True)
class FannedOut:
    """What was decided about a page: its deliveries' rows, and how far its envelope has come."""

    page: Page
    advance: Advance
    pace: Pace
    now: datetime
    rows: Sequence[Mapping[str, Any]] = ()
    entries: Sequence[Entry] = ()

    @property
    def awaited(self) -> set[Subject]:
        """The pauses that its deliveries wait for."""
        return {each["reason"] for each in self.rows if each["waits_for"] == "pause"}


async def decide(broker: Broker, page: Page, pace: Pace) -> FannedOut:
    """Decide about an envelope, and about each of these subscribers.

    Raises:
        PluginFailed: a plugin failed about the envelope.
    """
    now, service = broker.now(), page.service
    done = Advance(page.envelope.id, page.envelope.fanned_out_to)
    if service is None or not service.published:
        return FannedOut(page, done, pace, now)
    facts = EnvelopePolicyFacts(service, page.in_clear)
    blocked = await broker.plugins.block_reason(page.envelope, facts)
    if blocked:
        entry = await broker.entry(
            "zekt:envelope:blocked",
            SYSTEM,
            correlation_id=page.run.correlation_id,
            repository_id=page.run.key.repository_id,
            details={**blocked._asdict(), "event": page.envelope.id},
        )
        return FannedOut(page, done._replace(blocked=blocked.reason), pace, now, entries=(entry,))
    wanting = [
        (held, consumer)
        for held, consumer in page.subscribers
        if held.wants(page.envelope.event_type, page.run.facts)
        and in_time(held, consumer, page.run)
    ]
    decided = await _deliveries(broker, page, wanting)
    rows = [row for row, _ in decided]
    more = len(page.subscribers) - len(rows)
    done = done._replace(more=more, again_at=None if page.last else now)
    if page.subscribers:
        done = done._replace(to=page.subscribers[-1][0].id)
    entries = await broker.entries([_entry(page, *each) for each in decided])
    return FannedOut(page, done, pace, now, rows, entries)


async def _deliveries(
    broker: Broker, page: Page, wanting: Sequence[tuple[Subscription, Repository]]
) -> list[tuple[dict[str, Any], Blocked | None]]:
    """The page's rows, all decided about at once."""
    now = broker.now()
    asked = [(_delivery(page, *each, now), _facts(page, *each)) for each in wanting]
    answers = await broker.plugins.block_reasons(asked)
    return [
        (
            _row(page, *each, answer, page.due_at(number, now)),
            answer if isinstance(answer, Blocked) else None,
        )
        for number, (each, answer) in enumerate(zip(asked, answers, strict=True))
    ]


def _facts(page: Page, held: Subscription, consumer: Repository) -> DeliveryPolicyFacts:
    return DeliveryPolicyFacts(
        run=page.provider,
        service=page.service,
        subscription=held,
        provider=page.provider.repository,
        consumer=consumer,
        event_type=page.envelope.event_type,
        in_clear=page.in_clear,
    )


def _delivery(page: Page, held: Subscription, consumer: Repository, now: datetime) -> Delivery:
    return Delivery(
        id=new_id("dlv", now),
        envelope_id=page.envelope.id,
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
    page: Page,
    delivery: Delivery,
    facts: DeliveryPolicyFacts,
    answer: Blocked | PluginFailed | None,
    due_at: datetime,
) -> dict[str, Any]:
    """One whose decision failed is decided before its POST."""
    held, ends = facts.subscription, (facts.provider.account_id, facts.consumer.account_id)
    service_id = held.service_id if held else ""
    on_hold = holding(ends, service_id, delivery.cause_id, page.paused)
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


def _entry(page: Page, row: Mapping[str, Any], blocked: Blocked | None) -> Entry:
    details: dict[str, str | int] = {"event": page.envelope.id, "subscription": row["cause_id"]}
    return Entry(
        verb=f"zekt:delivery:{'blocked' if blocked else 'created'}",
        actor=SYSTEM,
        correlation_id=page.run.correlation_id,
        delivery_id=row["id"],
        account_id=row["consumer_account_id"],
        repository_id=row["target_repository_id"],
        details=details | (blocked._asdict() if blocked else {}),
    )


def weigh(fanned: FannedOut) -> int:
    """How many rows of the database it makes."""
    return len(fanned.rows) or 1


def facts(page: Page) -> dict[Table, dict[Any, int]]:
    """The versions of what decided about a page, in the order in which everybody locks them."""
    # The provider may be a consumer too, read again later: what decided about the run counts.
    ends = [*(consumer for _, consumer in page.subscribers), page.provider.repository]
    services = [page.service] if page.service else []
    return {
        tables.repositories: {each.id: each.version for each in ends},
        tables.services: {each.id: each.version for each in services},
        tables.subscriptions: {each.id: each.version for each, _ in page.subscribers},
    }


def standing(
    connection: Connection,
    fanned: Sequence[FannedOut | None],
    read: Sequence[Read],
    *,
    to_change: Table | None = None,
) -> list[bool]:
    """Whether what each was decided on is still so, `read` and the pauses that it waits for.

    It stays so until this transaction ends: `versions.stand` tells the rest.
    """
    awaited: list[set[Subject]] = [each.awaited if each else set() for each in fanned]
    on_hold = pauses.held(connection, set().union(*awaited))
    stand = versions.stand(connection, read, to_change=to_change)
    return [unmoved and waits <= on_hold for unmoved, waits in zip(stand, awaited, strict=True)]


def write(connection: Connection, fanned: Sequence[FannedOut]) -> None:
    """Write the deliveries of pages whose facts are held, all at once: every unit locks lanes in
    the same order. Their envelopes are the caller's.
    """
    new = [delivery for each in fanned for delivery in each.rows]
    if new:
        first = fanned[0]
        deliveries.add(connection, new, first.now, first.pace)
        turns = {each["sequence_key"]: first.now for each in new if each["sequence_key"]}
        sequences.advance(connection, turns)
    for each in fanned:
        for entry in each.entries:
            audit.record(connection, entry)


def tell(fanned: FannedOut) -> None:
    """Log one that is written."""
    page = fanned.page
    _log.info(
        "envelope.matched",
        correlation_id=page.run.correlation_id,
        event_id=page.envelope.id,
        deliveries=len(fanned.rows),
        blocked=fanned.advance.blocked,
        service=page.service.slug if page.service else None,
    )
