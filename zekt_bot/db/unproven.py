"""Deliveries of durable subscriptions that no run has confirmed in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, select, update

from zekt_bot.db import audit, coverage, lanes, sequences, units
from zekt_bot.db.rows import durable_of
from zekt_bot.db.tables import attempts, deliveries, envelopes, inbox, runs, subscriptions
from zekt_bot.domain.recovery import HOOK_DELIVERIES, heard_to

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.subscriptions import Durable

PAGE = 64  # of one commit


@dataclass(frozen=True, slots=True)
class Unproven:
    """A delivery whose time for a proof is over.

    `guessed`: a run that it probably led to is known. `durable` is the subscription's by now.
    """

    id: str
    lane: str
    prove_by: datetime
    account_id: int
    repository_id: int
    correlation_id: str
    sequence_key: str | None
    sends: int
    guessed: bool
    durable: Durable | None


def heard(connection: Connection, now: datetime) -> datetime | None:
    """Until when a proof that came is known; None: some that were missed wait in the inbox."""
    waiting = inbox.c.due_at.is_not(None), inbox.c.event == "workflow_run"
    late = func.count(case((inbox.c.recovered, inbox.c.id)))
    since, missed = connection.execute(
        select(func.min(inbox.c.received_at), late).where(*waiting)
    ).one()
    if missed:
        return None
    until = heard_to(coverage.of(connection, HOOK_DELIVERIES), now)
    return min(until, since) if since else until


def overdue(connection: Connection, until: datetime) -> list[Unproven]:
    """A page of those whose time was over by then, the longest overdue first."""
    taken = and_(attempts.c.delivery == deliveries.c.id, attempts.c.outcome == "dispatched")
    found = connection.execute(
        select(
            deliveries.c.id,
            deliveries.c.lane,
            deliveries.c.prove_by,
            deliveries.c.consumer_account_id.label("account_id"),
            deliveries.c.target_repository_id.label("repository_id"),
            runs.c.correlation_id,
            deliveries.c.sequence_key,
            _number(attempts.c.n, taken).label("sends"),
            _number(_run.c.id, _run.c.caused_by_delivery_id == deliveries.c.id).label("guessed"),
            subscriptions.c.durable_after,
            subscriptions.c.durable_sends,
        )
        .join(envelopes, envelopes.c.id == deliveries.c.envelope)
        .join(runs, runs.c.id == envelopes.c.run)
        .outerjoin(subscriptions, subscriptions.c.id == deliveries.c.cause_id)
        .where(deliveries.c.prove_by <= until)
        .order_by(deliveries.c.prove_by)
        .limit(PAGE)
    ).mappings()
    return [
        Unproven(
            **{name: value for name, value in row.items() if name in _PLAIN},
            guessed=row["guessed"] > 0,
            durable=durable_of(row["durable_after"], row["durable_sends"]),
        )
        for row in found
    ]


_run = runs.alias("reaction")
_PLAIN = frozenset(Unproven.__dataclass_fields__) - {"guessed", "durable"}


def _number(column: ColumnElement[Any], which: ColumnElement[bool]) -> Any:
    counted = select(func.count(column)).where(which)
    return counted.correlate(deliveries).scalar_subquery()


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of it: sent again (`pending`), given up (`dead`), or left as it is (None)."""

    unproven: Unproven
    to: str | None
    now: datetime
    entry: Entry | None = None


def answer(connection: Connection, rows: Sequence[Answer]) -> list[bool]:
    """Write the answers; False: a proof came meanwhile, or another process answered.

    Lanes before deliveries: everybody locks in this order.
    """
    moved = [row for row in rows if row.to == "pending" or row.unproven.sequence_key]
    lanes.wake(connection, {row.unproven.lane: row.now for row in moved})
    answers = [_answer(connection, row) for row in rows]
    ordered = {row.unproven.sequence_key: row.now for row in rows}
    sequences.advance(connection, {key: now for key, now in ordered.items() if key})
    if moved:
        units.wake(connection, "deliveries")
    return answers


def _answer(connection: Connection, row: Answer) -> bool:
    values: dict[str, Any] = {"prove_by": None, "updated_at": row.now}
    if row.to:
        due_at = row.now if row.to == "pending" else None
        values |= {"state": row.to, "reason": "unconfirmed", "due_at": due_at}
    still = (
        deliveries.c.id == row.unproven.id,
        deliveries.c.prove_by == row.unproven.prove_by,
        deliveries.c.state == "dispatched",
    )
    applied = connection.execute(update(deliveries).where(*still).values(values)).rowcount
    if applied and row.entry:
        audit.record(connection, row.entry)
    return bool(applied)
