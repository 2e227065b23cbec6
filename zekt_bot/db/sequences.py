"""Ordered subscriptions: which delivery's turn it is.

A delivery has a `sequence_key` until the next may go. One at most that has it is not waiting for
`sequence`: the one whose turn it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, update

from zekt_bot.db import lanes, units
from zekt_bot.db.rows import ordered_of
from zekt_bot.db.tables import deliveries, subscriptions
from zekt_bot.domain.deliveries import SENDABLE, is_past

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from zekt_bot.domain.subscriptions import Ordered


_MOST = 500  # of one sequence in one unit; the rest goes in the next


def advance(connection: Connection, turns: Mapping[str, datetime]) -> None:
    """Let the next of each sequence (key → now) go, if its turn has come.

    Their lanes are locked first, all in one order: of two that meet here the second sees what the
    first has done.
    """
    if not turns:
        return
    units.run_left(connection)
    heads = {key: head["lane"] for key in sorted(turns) if (head := _head(connection, key))}
    lanes.wake(connection, {lane: turns[key] for key, lane in heads.items()})
    for key in heads:
        _advance(connection, key, turns[key])


def _advance(connection: Connection, key: str, now: datetime) -> None:
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
    return is_past(terms, head["state"], now - (head["dispatched_at"] or now))


def _let_go(connection: Connection, row: RowMapping, now: datetime, *, past: bool) -> None:
    values: dict[str, Any] = {"sequence_key": None} if past else {}
    if row["waits_for"] == "sequence" and (past or row["state"] in SENDABLE):
        values["waits_for"] = None
        if row["state"] in SENDABLE:
            values |= {"due_at": now, "updated_at": now}
            lanes.wake(connection, {row["lane"]: now})
            units.wake(connection, "deliveries")
    if values:
        mine = update(deliveries).where(deliveries.c.id == row["id"])
        connection.execute(mine.values(values))


_PLACE = tuple(deliveries.c[name] for name in ("id", "lane", "state", "waits_for", "dispatched_at"))
_HEADS = [
    select(*_PLACE)
    .where(
        deliveries.c.sequence_key == bindparam("key"),
        deliveries.c.waits_for == waits_for,  # of None: IS NULL
    )
    .order_by(deliveries.c.envelope, deliveries.c.id)
    .limit(1)
    for waits_for in (None, "pause", "app", "sequence")
]


def _head(connection: Connection, key: str) -> RowMapping | None:
    """Whose turn it is; else the first in the order of events, and of a run's messages."""
    for first in _HEADS:
        found = connection.execute(first, {"key": key}).mappings().first()
        if found:
            return found
    return None


_TERMS = select(
    subscriptions.c.ordered_by, subscriptions.c.ordered_within, subscriptions.c.ordered_stops
).where(subscriptions.c.id == bindparam("key"), subscriptions.c.state == "approved")


def _terms(connection: Connection, key: str) -> Ordered | None:
    """None: it is ordered no longer, or consent has ended and the policy blocks what is left."""
    row = connection.execute(_TERMS, {"key": key}).mappings().first()
    return ordered_of(row) if row else None


def open_ones(connection: Connection) -> list[str]:
    """The sequences in which something has its place."""
    keys = select(deliveries.c.sequence_key).where(deliveries.c.sequence_key.is_not(None))
    return list(connection.execute(keys.distinct()).scalars())


def look(connection: Connection, rows: Sequence[tuple[str, datetime]]) -> list[None]:
    """Let go what waited long enough, or is ordered otherwise by now (key, now)."""
    advance(connection, dict(rows))
    return [None] * len(rows)
