"""Ordered subscriptions: which delivery's turn it is.

A delivery has a `sequence_key` until the next may go. One at most that has it is not waiting for
`sequence`: the one whose turn it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from zekt_bot.db import audit, lanes
from zekt_bot.db.rows import ordered_of
from zekt_bot.db.tables import deliveries, subscriptions
from zekt_bot.domain.deliveries import SENDABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from zekt_bot.domain.subscriptions import Ordered


_MOST = 500  # of one sequence in one unit; the rest goes in the next


def advance(connection: Connection, turns: Mapping[str, datetime]) -> None:
    """Let the next of each sequence (key → now) go, if its turn has come.

    The lane is locked first: of two that meet here the second sees what the first has done.
    """
    for key, now in sorted(turns.items()):
        _advance(connection, key, now)


def _advance(connection: Connection, key: str, now: datetime) -> None:
    head = _head(connection, key)
    if head is None:
        return
    lanes.wake(connection, {head["lane"]: now})
    terms = _terms(connection, key)
    for _ in range(_MOST):
        head = _head(connection, key)
        if head is None:
            return
        past = _is_past(head, terms, now)
        if past or head["waits_for"] == "sequence":
            _let_go(connection, head, now, past=past)
        if not past:
            return


def _is_past(head: RowMapping, terms: Ordered | None, now: datetime) -> bool:
    """Whether the next may go; of what is ordered no longer, all may."""
    if terms is None:
        return True
    return terms.is_past(head["state"], now - (head["dispatched_at"] or now))


def _let_go(connection: Connection, row: RowMapping, now: datetime, *, past: bool) -> None:
    values: dict[str, Any] = {"sequence_key": None} if past else {}
    if row["waits_for"] == "sequence" and (past or row["state"] in SENDABLE):
        values["waits_for"] = None
        if row["state"] in SENDABLE:
            values |= {"due_at": now, "updated_at": now}
            lanes.wake(connection, {row["lane"]: now})
            audit.wake(connection, "deliveries")
    if values:
        mine = update(deliveries).where(deliveries.c.id == row["id"])
        connection.execute(mine.values(values))


_PLACE = tuple(deliveries.c[name] for name in ("id", "lane", "state", "waits_for", "dispatched_at"))


def _head(connection: Connection, key: str) -> RowMapping | None:
    """Whose turn it is; else the first in the order of events, and of a run's messages."""
    own = select(*_PLACE).where(deliveries.c.sequence_key == key)
    for waits_for in (None, "pause", "app", "sequence"):
        there = own.where(deliveries.c.waits_for == waits_for)  # of None: IS NULL
        first = there.order_by(deliveries.c.envelope, deliveries.c.id).limit(1)
        found = connection.execute(first).mappings().first()
        if found:
            return found
    return None


def _terms(connection: Connection, key: str) -> Ordered | None:
    names = ("ordered_by", "ordered_within", "ordered_stops")
    told = select(*(subscriptions.c[name] for name in names)).where(subscriptions.c.id == key)
    row = connection.execute(told).mappings().first()
    return ordered_of(row) if row else None


def open_ones(connection: Connection) -> list[str]:
    """The sequences in which something has its place."""
    keys = select(deliveries.c.sequence_key).where(deliveries.c.sequence_key.is_not(None))
    return list(connection.execute(keys.distinct()).scalars())


def look(connection: Connection, rows: Sequence[tuple[str, datetime]]) -> list[None]:
    """Let go what waited long enough, or is ordered otherwise by now (key, now)."""
    advance(connection, dict(rows))
    return [None] * len(rows)
