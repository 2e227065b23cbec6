"""Taking due rows of the inbox, the runs and the envelopes, so that no other worker does.

A leased row is due at the end of its lease: when its worker dies it is simply due again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, bindparam, case, func, literal, or_, select, update

from zekt_bot.db import audit, clock_jumps, lanes, units, versions
from zekt_bot.db.inbox import places
from zekt_bot.db.lanes import Taken
from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import among, one_of
from zekt_bot.db.tables import deliveries, envelopes, inbox, runs
from zekt_bot.domain.lanes import MOST_SKEW

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from zekt_bot.domain.audit import Entry

_A_MINUTE = timedelta(minutes=1)
# In the order in which they are locked.
LEASED: dict[str, Table] = {"runs": runs, "envelopes": envelopes, "inbox": inbox}


@dataclass(frozen=True, slots=True)
class Claim:
    """Take up to `limit` rows of `table` that are due at `now`, until `until`."""

    table: str
    now: datetime
    until: datetime
    lease: str
    limit: int


@cache
def _claims(name: str) -> Prepared:
    """Leases the rows that are due, longest due first; rows of other claims are skipped.

    With each it returns when the first of the later ones is due.
    """
    table, other = LEASED[name], LEASED[name].alias("other")
    now = bindparam("now", type_=table.c.due_at.type)
    due = (
        select(other.c.id)
        .where(other.c.due_at <= now)
        .order_by(other.c.due_at)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    later = table.alias("later")
    next_due = select(func.min(later.c.due_at)).where(later.c.due_at > now).scalar_subquery()
    return Prepared(
        update(table)
        .where(among(table.c.id, due))
        .values(due_at=bindparam("until"), lease=bindparam("held"))
        .returning(table.c.id, next_due)
    )


def take(connection: Connection, row: Claim) -> Taken:
    """Lease the rows that are due for the longest, in one statement; ids sorted."""
    given = {"now": row.now, "limit": row.limit, "until": row.until, "held": row.lease}
    found = _claims(row.table).run(connection, given).tuples()
    ids = sorted([row_id for row_id, _ in found])
    if not ids or len(ids) >= row.limit:  # more of them may be due
        return Taken(ids, next_due(connection, row.table))
    moments = [row.until, *(moment for _, moment in found if moment)]
    return Taken(ids, min(moments))


def release_all(connection: Connection, rows: Sequence[datetime]) -> list[int]:
    """Make every leased row due at once: for the only server of an SQLite file, at its start."""
    answers = []
    for now in rows:
        freed = 0
        news = places(connection, inbox.c.lease.is_not(None))
        for table in LEASED.values():
            held = update(table).where(table.c.lease.is_not(None))
            freed += connection.execute(held.values(due_at=now, lease=None)).rowcount
        for row_id, place in news.items():
            connection.execute(update(inbox).where(inbox.c.id == row_id).values(due_at=place))
        sending = update(deliveries).where(deliveries.c.lease.is_not(None))
        found = sending.values(due_at=now, lease=None).returning(deliveries.c.lane)
        names = list(connection.execute(found).scalars())
        lanes.wake(connection, dict.fromkeys(names, now))
        answers.append(freed + len(names))
    return answers


def bring_back(connection: Connection, now: datetime) -> None:
    """The clock was ahead and was set back: what it wrote is due by the present clock.

    What is leased keeps a minute. A limit of the hour is over within the hour. Retries that were
    set by the right clock keep their time.
    """
    ahead = now + MOST_SKEW
    for table in LEASED.values():
        late = update(table).where(table.c.due_at > ahead)
        connection.execute(late.values(due_at=_soon(table, now)))
    clock_jumps.look_at_lanes(connection, now)
    late = update(deliveries).where(
        deliveries.c.due_at > ahead,
        or_(deliveries.c.updated_at > ahead, deliveries.c.lease.is_not(None)),
    )
    connection.execute(late.values(due_at=_soon(deliveries, now)))
    clock_jumps.bring_back(connection, now, ahead)
    for topic in (*LEASED, "deliveries"):
        units.wake(connection, topic)


def _soon(table: Table, now: datetime) -> ColumnElement[datetime]:
    leased = literal(now + _A_MINUTE, table.c.due_at.type)
    return case((table.c.lease.is_not(None), leased), else_=literal(now, table.c.due_at.type))


def next_due(connection: Connection, topic: str) -> datetime | None:
    """When the next row of a queue is due: work may be waiting for nothing but time."""
    if topic == "deliveries":
        return lanes.earliest(connection)
    found: datetime | None = _earliest(topic).run(connection).scalar_one()
    return found


@cache
def _earliest(topic: str) -> Prepared:
    column = LEASED[topic].c.due_at
    # The condition lets its partial index serve.
    return Prepared(select(func.min(column)).where(column.is_not(None)))


@cache
def _held(name: str) -> Prepared:
    table = LEASED[name]
    found = select(table.c.id).where(one_of(table.c.id, "ids"))
    return Prepared(found.order_by(*versions.in_order(table)).with_for_update(key_share=True))


def hold(connection: Connection, rows: Collection[tuple[str, str]]) -> None:
    """Lock these rows, each by its table and id, in the order in which every unit does."""
    if len(rows) > 1:  # who locks one alone crosses nobody
        for table in LEASED:
            if ids := [row_id for name, row_id in rows if name == table]:
                _held(table).run(connection, {"ids": ids})


@dataclass(frozen=True, slots=True)
class Standing:
    """How often the step of a row has failed, and whose row it is."""

    failures: int
    correlation_id: str
    repository_id: int


def standing(connection: Connection, table: str, row_id: str) -> Standing:
    """What is known of a row of `runs` or `envelopes`."""
    source = LEASED[table]
    run_id = source.c.id if source is runs else source.c.run
    found = connection.execute(
        select(source.c.failures, runs.c.correlation_id, runs.c.repository_id)
        .select_from(source if source is runs else source.join(runs, runs.c.id == run_id))
        .where(source.c.id == row_id)
    )
    return Standing(*found.one())


@dataclass(frozen=True, slots=True)
class Failure:
    """A leased row whose step raised: due again at `again_at`, or set aside when that is None.

    `entry` tells the audit that it was set aside.
    """

    table: str
    id: str
    lease: str
    reason: str
    again_at: datetime | None
    entry: Entry | None = None


# An envelope has no state: what stands against it says that it is over.
ASIDE: dict[str, dict[str, str]] = {
    "inbox": {"state": "set_aside"},
    "runs": {"state": "set_aside"},
    "envelopes": {"blocked_reason": "plugin_failed"},
}


def fail(connection: Connection, rows: Sequence[Failure]) -> list[bool]:
    """Count the failure and give the lease back; False: it is another's by now."""
    hold(connection, [(row.table, row.id) for row in rows])
    answers = []
    for row in rows:
        table = LEASED[row.table]
        values: dict[str, Any] = {
            "failures": table.c.failures + 1,
            "reason": row.reason,
            "due_at": row.again_at,
            "lease": None,
        }
        if row.again_at is None:
            values |= ASIDE[row.table]
        own = (table.c.id == row.id, table.c.lease == row.lease)
        applied = bool(connection.execute(update(table).where(*own).values(values)).rowcount)
        if applied and row.entry:
            audit.record(connection, row.entry)
        units.wake(connection, row.table)  # whoever waits may have to look earlier
        answers.append(applied)
    return answers


@dataclass(frozen=True, slots=True)
class Return:
    """A leased row on which nothing was done: due again at `again_at`."""

    table: str
    id: str
    lease: str
    again_at: datetime


def give_back(connection: Connection, rows: Sequence[Return]) -> list[None]:
    """Give leases back untouched, those that are still one's own; news of consent to the front."""
    ids = [row.id for row in rows if row.table == "inbox"]
    news = places(connection, inbox.c.id.in_(ids)) if ids else {}
    hold(connection, [(row.table, row.id) for row in rows])
    for row in rows:
        table = LEASED[row.table]
        own = (table.c.id == row.id, table.c.lease == row.lease)
        due_at = news.get(row.id, row.again_at)
        connection.execute(update(table).where(*own).values(due_at=due_at, lease=None))
        units.wake(connection, row.table)
    return [None] * len(rows)
