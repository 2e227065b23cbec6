"""What waits in each queue, and since when: read from the indexes of rows that wait for time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, func, literal, not_, null, select

from zekt_bot.db.inbox import DUE_SINCE
from zekt_bot.db.tables import deliveries, envelopes, inbox, runs

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Connection, Table

_MOMENTS = {
    "inbox": (inbox, inbox.c.received_at, DUE_SINCE),
    "runs": (runs, runs.c.received_at, runs.c.due_at),
    "envelopes": (envelopes, envelopes.c.created_at, envelopes.c.due_at),
}


class Waiting(NamedTuple):
    """Rows of a queue that are not done; of deliveries those in one state, for one reason.

    `oldest_at`: when the oldest of them came; `due_at`: when the first of them is, or was, due.
    """

    queue: str
    state: str | None
    waits_for: str | None
    rows: int
    oldest_at: datetime | None
    due_at: datetime | None


def backlog(connection: Connection) -> list[Waiting]:
    """All that waits, for a time or for something else."""
    found = [_queue(connection, name, *parts) for name, parts in _MOMENTS.items()]
    return [*found, *_deliveries(connection)]


def _queue(
    connection: Connection,
    name: str,
    table: Table,
    came_at: Column[datetime],
    due_since: ColumnElement[datetime],
) -> Waiting:
    asked = select(
        literal(name),
        null(),
        null(),
        func.count(),
        func.min(came_at, type_=came_at.type),
        func.min(due_since, type_=due_since.type),
    ).where(table.c.due_at.is_not(None))
    return Waiting(*connection.execute(asked).one())


def _deliveries(connection: Connection) -> list[Waiting]:
    """Two reads, because each has an index of its own: for a time, and for something else."""
    found: list[Waiting] = []
    timed = deliveries.c.due_at.is_not(None)
    for condition in (timed, and_(deliveries.c.waits_for.is_not(None), not_(timed))):
        asked = (
            select(
                literal("deliveries"),
                deliveries.c.state,
                deliveries.c.waits_for,
                func.count(),
                func.min(deliveries.c.created_at, type_=deliveries.c.created_at.type),
                func.min(deliveries.c.due_at, type_=deliveries.c.due_at.type),
            )
            .where(condition)
            .group_by(deliveries.c.state, deliveries.c.waits_for)
            .order_by(deliveries.c.state, deliveries.c.waits_for)
        )
        found += [Waiting(*row) for row in connection.execute(asked)]
    return found
