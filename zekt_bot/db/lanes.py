"""Lanes: claiming due deliveries at each installation's pace.

A claim locks lanes that are ready (skipping those that another worker holds), takes a few due rows
from each and writes back when each lane is worth looking at again. Six statements at most, however
many rows wait in lanes that are not ready.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, bindparam, case, func, literal, not_, or_, select, update

from zekt_bot.db.prepared import Prepared, run_together
from zekt_bot.db.sql import inserting, listed, one_of
from zekt_bot.db.tables import deliveries, lanes
from zekt_bot.domain.deliveries import GIVE_UP_AFTER
from zekt_bot.domain.lanes import (
    MOST_A_CLAIM,
    Bucket,
    Look,
    Pace,
    Tempo,
    allowance,
    next_ready,
    paced,
    quickened,
    refill,
    slowed,
    spend,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, FromClause, ScalarSelect, Select, Update

    from zekt_bot.db.prepared import Call
    from zekt_bot.db.rows import Row

_LANES_A_CLAIM = 48  # of those that have waited the longest
_LATEST_A_CLAIM = 16  # of those that became ready last, if there are more
_LONGEST_LOOK = timedelta(minutes=2)  # after which a lane with due rows is looked at in any case


@dataclass(frozen=True, slots=True)
class LaneClaim:
    """Take up to `limit` deliveries that are due at `now`, until `until`; `lane`: of that one."""

    now: datetime
    until: datetime
    lease: str
    limit: int
    pace: Pace
    lane: str | None = None


class Taken(NamedTuple):
    """Ids that a claim leased, and when the next row of their queue is due."""

    ids: list[str]
    next_due: datetime | None


_NOW = bindparam("now", type_=lanes.c.next_ready_at.type)
_later = lanes.alias("later")
_NEXT = (
    select(func.min(_later.c.next_ready_at)).where(_later.c.next_ready_at > _NOW).scalar_subquery()
)
# The lanes worth looking at, each with when the next one is; those that another worker holds are
# skipped.
_READY_LANES = (
    select(lanes.c.name, _NEXT.label("later"))
    .where(lanes.c.next_ready_at <= _NOW)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
READY = Prepared(_READY_LANES.order_by(lanes.c.next_ready_at))
_LATEST = Prepared(
    _READY_LANES.where(not_(one_of(lanes.c.name, "taken"))).order_by(lanes.c.next_ready_at.desc())
)
_READY_ONE = Prepared(_READY_LANES.where(lanes.c.name == bindparam("lane")))


def _looks() -> Select[Any]:
    """Locked lanes, with what is in flight in each, when its next row is due, and those that are:
    the first ones, and one more than a claim takes, to see what is left.

    A statement of its own, after the lock: it must see what the former holder committed.
    """
    of_lane = deliveries.c.lane == lanes.c.name
    in_flight = (
        select(func.count())
        .select_from(deliveries)
        .where(of_lane, deliveries.c.lease.is_not(None), deliveries.c.due_at > _NOW)
        .scalar_subquery()
    )
    next_due = (
        select(func.min(deliveries.c.due_at))
        .where(of_lane, deliveries.c.due_at > _NOW)
        .scalar_subquery()
    )
    due = (
        select(deliveries.c.id)
        .where(of_lane, deliveries.c.due_at <= _NOW)
        .order_by(deliveries.c.due_at)
        .limit(MOST_A_CLAIM + 1)
        .correlate(lanes)
        .scalar_subquery()
    )
    found = in_flight.label("in_flight"), next_due.label("next_due"), listed(due).label("due")
    return select(lanes, *found).where(one_of(lanes.c.name, "names"))


_LOOKS = Prepared(_looks())
_LOOKED_AT = Prepared(
    update(lanes)
    .where(lanes.c.name == bindparam("lane"))
    .values(
        tokens=bindparam("left"),
        refilled_at=bindparam("at"),
        next_ready_at=bindparam("ready"),
        per_minute=bindparam("tempo"),
        paced_at=bindparam("since"),
    )
)
# A slow worker may meanwhile have recorded a row whose lease ran out: it is due no more.
_LEASE = Prepared(
    update(deliveries)
    .where(one_of(deliveries.c.id, "ids"), deliveries.c.due_at <= _NOW)
    .values(due_at=bindparam("until"), lease=bindparam("held"))
    .returning(deliveries.c.id)
)


_EARLIEST = Prepared(
    select(func.min(lanes.c.next_ready_at)).where(lanes.c.next_ready_at.is_not(None))
)


def earliest(connection: Connection) -> datetime | None:
    """When the first lane is worth looking at."""
    found: datetime | None = _EARLIEST.run(connection).scalar()
    return found


def take(connection: Connection, request: LaneClaim) -> Taken:
    """Lease due deliveries."""
    now = {"now": request.now}
    names, later = _ready(connection, request)
    if not names or request.limit < 1:
        return Taken([], earliest(connection))
    looked = _LOOKS.run(connection, now | {"names": names}).mappings()
    found = {row["name"]: row for row in looked}
    taken: list[str] = []
    written: list[dict[str, Any]] = []
    for name in names:
        if len(taken) >= request.limit:
            break  # the others keep their place: written anew, all would be ready since now
        mine, after = _take(found[name], request, request.limit - len(taken))
        taken.extend(mine)
        written.append(after)
    written_and_leased = [(_LOOKED_AT, written)]
    if taken:
        held = now | {"ids": taken, "until": request.until, "held": request.lease}
        written_and_leased.append((_LEASE, [held]))
    leased = run_together(connection, written_and_leased)
    taken = leased.scalars() if taken and leased else []
    if request.lane is not None or len(written) < len(names) or len(names) >= _LANES_A_CLAIM:
        return Taken(taken, earliest(connection))  # there may be more that are ready
    moments = [moment for moment in (later, *(row["ready"] for row in written)) if moment]
    return Taken(taken, min(moments, default=None))


def _ready(connection: Connection, request: LaneClaim) -> tuple[list[str], datetime | None]:
    """Lanes to look at, by turns of the oldest and of the latest; and when the next one is ready.

    So what comes behind a backlog of thousands of lanes need not wait until all are served.
    """
    asked = {"now": request.now, "limit": _LANES_A_CLAIM}
    if request.lane is not None:
        return _READY_ONE.run(connection, asked | {"lane": request.lane}).scalars(), None
    found = READY.run(connection, asked).all()
    oldest, later = [row.name for row in found], found[0].later if found else None
    if len(oldest) < _LANES_A_CLAIM:
        return oldest, later
    others = asked | {"limit": _LATEST_A_CLAIM, "taken": oldest}
    latest = _LATEST.run(connection, others).scalars()
    pairs = zip_longest(oldest, latest)
    return [name for pair in pairs for name in pair if name is not None], later


def _take(lane: Row, request: LaneClaim, limit: int) -> tuple[list[str], dict[str, Any]]:
    ids: list[str] = lane["due"]
    tempo = _tempo(lane)
    pace, closed = paced(request.pace, tempo), _is_closed(lane, request.now)
    bucket = refill(Bucket(lane["tokens"], lane["refilled_at"]), request.now, pace)
    may = 0 if closed else min(allowance(bucket, lane["in_flight"], pace), max(0, limit))
    mine = ids[:may]
    bucket = spend(bucket, len(mine), pace)
    look = Look(
        left_due=len(ids) > len(mine),
        room=lane["in_flight"] + len(mine) < pace.in_flight,
        next_due=lane["next_due"],
        lease_end=request.until if mine else None,
    )
    if mine and look.left_due and request.pace.per_minute:
        tempo = quickened(tempo, request.now, request.pace)
    return mine, {
        "lane": lane["name"],
        "left": bucket.tokens,
        "at": bucket.at,
        "ready": next_ready(look, bucket, lane["open_at"], pace),
        "tempo": tempo and tempo.per_minute,
        "since": tempo and tempo.at,
    }


def _tempo(lane: Row) -> Tempo | None:
    """What the lane has learned; None: it never had more than it could send."""
    return Tempo(lane["per_minute"], lane["paced_at"]) if lane["paced_at"] else None


def _is_closed(lane: Row, now: datetime) -> bool:
    return lane["open_at"] is not None and lane["open_at"] > now


def _lowered(at: ColumnElement[datetime]) -> ColumnElement[datetime | None]:
    """`next_ready_at` of a lane in which something is due at `at`: no sooner than it opens."""
    opens = case((lanes.c.open_at > at, lanes.c.open_at), else_=at)
    lower = or_(lanes.c.next_ready_at.is_(None), lanes.c.next_ready_at > opens)
    return case((lower, opens), else_=lanes.c.next_ready_at)


_WAKE = Prepared(
    update(lanes)
    .where(lanes.c.name == bindparam("lane"))
    .values(next_ready_at=_lowered(bindparam("at", type_=lanes.c.next_ready_at.type)))
)


def wake(connection: Connection, ready_at: dict[str, datetime]) -> None:
    """Lower `next_ready_at` of lanes in which rows became due, always in the same order.

    The update is unconditional: one whose condition is false takes no lock, and a claim in
    between would then write NULL over it.
    """
    if ready_at:
        rows = [{"lane": name, "at": moment} for name, moment in sorted(ready_at.items())]
        _WAKE.run_all(connection, rows)


@cache
def _opening(dialect: str) -> Prepared:
    fresh = inserting(lanes, dialect)
    ready = {"next_ready_at": _lowered(fresh.excluded.next_ready_at)}
    return Prepared(fresh.on_conflict_do_update(index_elements=[lanes.c.name], set_=ready))


def opening(
    connection: Connection, ready_at: Mapping[str, datetime | None], now: datetime, pace: Pace
) -> Call:
    """What makes the lanes that are not there yet, full of tokens, and wakes all as `wake` does.

    None: nothing is due in it yet.
    """
    full = {"tokens": float(pace.burst), "refilled_at": now}
    rows = [{"name": name, **full, "next_ready_at": at} for name, at in sorted(ready_at.items())]
    return _opening(connection.dialect.name), rows


_HOLD = Prepared(
    select(lanes.c.name)
    .where(one_of(lanes.c.name, "names"))
    .order_by(lanes.c.name)
    .with_for_update(key_share=True)
)


def _settled() -> Update:
    """Held lanes, woken for the first row that waits in each; where none does, they rest."""
    other = lanes.alias("other")

    def first(lane: FromClause) -> ScalarSelect[datetime]:
        waits = deliveries.c.lane == lane.c.name, deliveries.c.due_at.is_not(None)
        return select(func.min(deliveries.c.due_at)).where(*waits).scalar_subquery()

    found = (
        select(other.c.name, first(other).label("due"))
        .where(one_of(other.c.name, "names"))
        .subquery("found")
    )
    ready = case((found.c.due.is_(None), None), else_=_lowered(found.c.due))
    return (
        update(lanes)
        .where(lanes.c.name == found.c.name)
        .values(next_ready_at=ready)
        .returning(first(lanes))
    )


_SETTLED = Prepared(_settled())


def hold(connection: Connection, names: Iterable[str]) -> list[str]:
    """Lock lanes until the transaction ends, as everybody in the order of their names.

    On SQLite who writes is alone.
    """
    if connection.dialect.name == "sqlite":
        return sorted(set(names))
    return list(_HOLD.run(connection, {"names": set(names)}).scalars())


def look_again(connection: Connection, held: Sequence[str], now: datetime) -> bool:
    """After results: wake those of the held lanes that have waiting rows; whether one is due.

    The others rest: to look at each of them in vain would cost a claim more.
    """
    waiting = _SETTLED.run(connection, {"names": held}).scalars()
    return any(first is not None and first <= now for first in waiting)


def close(connection: Connection, name: str, until: datetime) -> None:
    """Send nothing more in this lane before `until`; a later time that is set already stands."""
    opens = literal(until, lanes.c.open_at.type)
    later = or_(lanes.c.open_at.is_(None), lanes.c.open_at < opens)
    at = case((later, opens), else_=lanes.c.open_at)
    connection.execute(
        update(lanes).where(lanes.c.name == name).values(open_at=at, next_ready_at=at)
    )


@dataclass(frozen=True, slots=True)
class Limit:
    """What an answer told of the receiver's limit: the lane waits `until`, or goes on `at_most`
    so many a minute."""

    lane: str
    now: datetime
    until: datetime | None
    at_most: float | None


def obey(connection: Connection, limit: Limit) -> None:
    """Go slower, and close the lane if that was asked for.

    What was in flight when the lane was closed meets the same limit: that counts once.
    """
    mine = lanes.c.name == limit.lane
    lane = connection.execute(select(lanes).where(mine)).mappings().one()
    tempo, counted = _tempo(lane), limit.at_most is None and _is_closed(lane, limit.now)
    if tempo and not counted:
        slower = slowed(tempo, limit.until or limit.now, limit.at_most)
        learned = {"per_minute": slower.per_minute, "paced_at": slower.at}
        connection.execute(update(lanes).where(mine).values(learned))
    if limit.until:
        close(connection, limit.lane, limit.until)


_GIVE_BACK = Prepared(
    update(lanes).where(lanes.c.name == bindparam("lane")).values(tokens=lanes.c.tokens + 1)
)


def give_back(connection: Connection, names: Sequence[str]) -> None:
    """Return a token for each name: nothing was sent for it."""
    if names:
        _GIVE_BACK.run_all(connection, [{"lane": name} for name in sorted(names)])


def sweep(connection: Connection, rows: Sequence[datetime]) -> list[int]:
    """Repair: a lane with waiting rows that nobody would look at is looked at; answers how many.

    It has no time, or (a worker's clock was wrong) one too far ahead; to look once in vain harms
    nobody.
    """
    answers = []
    for now in rows:
        of_lane = deliveries.c.lane == lanes.c.name, deliveries.c.due_at.is_not(None)
        # Not EXISTS, which PostgreSQL would answer by reading all deliveries.
        first = select(func.min(deliveries.c.due_at)).where(*of_lane).scalar_subquery()
        never = and_(lanes.c.next_ready_at.is_(None), first.is_not(None))
        is_open = or_(lanes.c.open_at.is_(None), lanes.c.open_at <= now)
        late = and_(is_open, lanes.c.next_ready_at > now + _LONGEST_LOOK, first <= now)
        shut = lanes.c.open_at > now + GIVE_UP_AFTER
        forgotten = or_(never, late, shut)
        in_order = select(lanes.c.name).where(forgotten).order_by(lanes.c.name)
        names = list(connection.execute(in_order.with_for_update(skip_locked=True)).scalars())
        opens = case((shut, None), else_=lanes.c.open_at)
        for name in names:
            mine = update(lanes).where(lanes.c.name == name)
            connection.execute(mine.values(next_ready_at=now, open_at=opens))
        answers.append(len(names))
    return answers
