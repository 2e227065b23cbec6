"""Taking due rows of the inbox, the runs and the envelopes, so that no other worker does.

A leased row is due at the end of its lease: when its worker dies it is simply due again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, Table, func, select, update

from zekt_bot.db import lanes
from zekt_bot.db.tables import deliveries, envelopes, inbox, runs
from zekt_bot.db.tables import lanes as lanes_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

LEASED: dict[str, Table] = {"inbox": inbox, "runs": runs, "envelopes": envelopes}


@dataclass(frozen=True, slots=True)
class Claim:
    """Take up to `limit` rows of `table` that are due at `now`, until `until`."""

    table: str
    now: datetime
    until: datetime
    lease: str
    limit: int


def due(table: Table, now: datetime, limit: int) -> Select[Any]:
    """The statement that finds what is due, longest due first; rows of other claims are skipped."""
    return (
        select(table.c.id)
        .where(table.c.due_at <= now)
        .order_by(table.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def claim(connection: Connection, rows: Sequence[Claim]) -> list[list[str]]:
    """Lease due rows; answers their ids."""
    return [_claim(connection, row) for row in rows]


def _claim(connection: Connection, row: Claim) -> list[str]:
    table = LEASED[row.table]
    ids: list[str] = list(connection.execute(due(table, row.now, row.limit)).scalars())
    if ids:
        connection.execute(
            update(table).where(table.c.id.in_(ids)).values(due_at=row.until, lease=row.lease)
        )
    return ids


def release_all(connection: Connection, rows: Sequence[datetime]) -> list[int]:
    """Make every leased row due at once: for the only server of an SQLite file, at its start."""
    answers = []
    for now in rows:
        freed = 0
        for table in LEASED.values():
            held = update(table).where(table.c.lease.is_not(None))
            freed += connection.execute(held.values(due_at=now, lease=None)).rowcount
        sending = update(deliveries).where(deliveries.c.lease.is_not(None))
        found = sending.values(due_at=now, lease=None).returning(deliveries.c.lane)
        names = list(connection.execute(found).scalars())
        lanes.wake(connection, dict.fromkeys(names, now))
        answers.append(freed + len(names))
    return answers


def next_due(connection: Connection, topic: str) -> datetime | None:
    """When the next row of a queue is due: work may be waiting for nothing but time."""
    ready_at = lanes_table.c.next_ready_at
    column = ready_at if topic == "deliveries" else LEASED[topic].c.due_at
    earliest = select(func.min(column)).where(column.is_not(None))  # so that its index serves
    found: datetime | None = connection.execute(earliest).scalar_one()
    return found


def failures(connection: Connection, table: str, row_id: str) -> int:
    """How often the step of this row has failed."""
    source = LEASED[table]
    return int(
        connection.execute(select(source.c.failures).where(source.c.id == row_id)).scalar_one()
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """A leased row whose step raised: due again at `again_at`, or set aside when that is None."""

    table: str
    id: str
    lease: str
    reason: str
    again_at: datetime | None


def fail(connection: Connection, rows: Sequence[Failure]) -> list[None]:
    """Count the failure and give the lease back, if it is still one's own."""
    for row in rows:
        table = LEASED[row.table]
        values = {
            "failures": table.c.failures + 1,
            "reason": row.reason,
            "due_at": row.again_at,
            "lease": None,
        }
        if row.again_at is None and "state" in table.c:
            values["state"] = "set_aside"
        own = (table.c.id == row.id, table.c.lease == row.lease)
        connection.execute(update(table).where(*own).values(values))
    return [None] * len(rows)
