"""Deliveries and their attempts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)

from zekt_bot.db import audit, lanes, mirror, pauses, sequences, units, versions
from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import inserting_new, one_of, rows_of
from zekt_bot.db.tables import (
    attempts,
    deliveries,
    repositories,
    services,
    subscriptions,
)
from zekt_bot.domain.deliveries import (
    DeliveryPolicyFacts,
    DeliveryState,
    may_move,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from zekt_bot.db.versions import Read
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.lanes import Pace
    from zekt_bot.domain.pauses import Subject


def add(
    connection: Connection, rows: Sequence[Mapping[str, Any]], now: datetime, pace: Pace
) -> None:
    """Insert deliveries that are not there yet, later; their lanes are opened and, if due, woken.

    And those in which something may be in turn: sequences find them locked, in everybody's order.
    """
    due: dict[str, datetime | None] = {}
    for row in rows:
        in_turn = row["updated_at"] if row.get("sequence_key") else None
        moments = (due.get(row["lane"]), row["due_at"] or in_turn)
        due[row["lane"]] = min((each for each in moments if each), default=None)
    units.later(connection, *lanes.opening(connection, due, now, pace))
    units.later(connection, inserting_new(deliveries, connection.dialect.name), rows)
    if any(due.values()):
        units.wake(connection, "deliveries")


@dataclass(frozen=True, slots=True)
class Change:
    """A delivery's next state, written only while `lease` is its own.

    `seal_error` gives the attempt's error, sealed for its number. `decided_on`: if one of these
    facts has moved since, nothing is decided, and it is due at once. `tried_for` is added to what
    GIVE_UP_AFTER bounds.
    """

    delivery_id: str
    lease: str
    lane: str
    to: DeliveryState
    now: datetime
    entry: Entry
    attempt: Mapping[str, Any] | None = None
    seal_error: Callable[[int], bytes | None] | None = None
    due_at: datetime | None = None
    waits_for: str | None = None
    blocked_reason: str | None = None
    reason: str | None = None
    limit: lanes.Limit | None = None
    renamed: tuple[int, str] | None = None
    sent: bool = True
    failed: bool = False
    tried_for: timedelta = timedelta()
    prove_by: datetime | None = None
    sequence_key: str | None = None
    decided_on: DeliveryPolicyFacts | None = None


def record(connection: Connection, rows: Sequence[Change]) -> list[bool]:
    """Record results; False: the lease is no longer one's own, or the facts have moved.

    Without the lease only the attempt is kept: another worker has the delivery now.
    """
    # Repositories before lanes before deliveries: everybody locks in this order.
    stands = [True] * len(rows)
    if any(row.decided_on for row in rows):
        stands = versions.stand(connection, [_read(row.decided_on) for row in rows])
    for row in rows:
        if row.renamed:
            mirror.change_repository(
                connection, row.renamed[0], {"full_name": row.renamed[1]}, row.now
            )
    held = lanes.hold(connection, {row.lane for row in rows})
    found = _PRESENT.run(connection, {"ids": {row.delivery_id for row in rows}}).mappings()
    present = {row["own"]: row for row in found}
    last = {row["own"]: row["tried"] or 0 for row in found}
    answers = _change(connection, rows, stands, present)
    _add_attempts(
        connection, [row for row in rows if row.attempt and row.delivery_id in last], last
    )
    units.run_left(connection)  # what waits in the lanes is looked at below
    mine = [row for row, own in zip(rows, answers, strict=True) if own]
    lanes.give_back(connection, [row.lane for row in mine if not row.sent])
    for limit in sorted((row.limit for row in rows if row.limit), key=lambda each: each.lane):
        lanes.obey(connection, limit)
    sequences.advance(connection, {row.sequence_key: row.now for row in mine if row.sequence_key})
    waits = lanes.look_again(connection, held, max(row.now for row in rows))
    if waits or any(row.due_at for row in rows):
        units.wake(connection, "deliveries")
    return [own and stand for own, stand in zip(answers, stands, strict=True)]


def _read(facts: DeliveryPolicyFacts | None) -> Read:
    """What a result was decided on; without a decision nothing."""
    if facts is None:
        return {repositories: {}, services: {}, subscriptions: {}}
    service, held = facts.service, facts.subscription
    return {
        repositories: {each.id: each.version for each in (facts.provider, facts.consumer)},
        services: {service.id: service.version} if service else {},
        subscriptions: {held.id: held.version} if held else {},
    }


# What a result changes. Read and locked first: then one statement serves all rows of a unit.
_CHANGED = (
    "state",
    "updated_at",
    "due_at",
    "waits_for",
    "blocked_reason",
    "reason",
    "prove_by",
    "failures",
    "tried_for_us",
    "dispatched_at",
    "attempts",
    "lease",
)
_LAST_TRY = (
    select(func.max(attempts.c.n)).where(attempts.c.delivery == deliveries.c.id).scalar_subquery()
)
# An attempt shares its delivery's key: as strong a lock as needed, and before attempts are added.
# Whoever adds one holds the lane, so that the last one's number stands.
_PRESENT = Prepared(
    select(
        deliveries.c.id.label("own"),
        _LAST_TRY.label("tried"),
        *(deliveries.c[name] for name in _CHANGED),
    )
    .where(one_of(deliveries.c.id, "ids"))
    .order_by(deliveries.c.id)
    .with_for_update(key_share=True)
)
_SET = Prepared(update(deliveries).where(deliveries.c.id == bindparam("own")), sets=True)


def _change(
    connection: Connection,
    rows: Sequence[Change],
    stands: Sequence[bool],
    present: Mapping[str, dict[str, Any]],
) -> list[bool]:
    """Set the new states, later; False: the lease is another's, or the state has moved on."""
    changed: dict[str, dict[str, Any]] = {}
    answers = []
    for row, stand in zip(rows, stands, strict=True):
        now = present.get(row.delivery_id)
        own = now is not None and now["lease"] == row.lease and _may(now["state"], row.to)
        answers.append(own)
        if now is None or not own:
            continue
        now |= _next(row, now) if stand else {"due_at": row.now}
        now |= {"lease": None, "attempts": now["attempts"] + (row.attempt is not None)}
        now.pop("tried", None)  # it is no column
        changed[row.delivery_id] = now
        if stand:
            audit.record(connection, row.entry)
    units.later(connection, _SET, list(changed.values()))
    return answers


def _may(state: DeliveryState, to: DeliveryState) -> bool:
    return state == to or may_move(state, to)


def _next(row: Change, present: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "state": row.to,
        "updated_at": row.now,
        "due_at": row.due_at,
        "waits_for": row.waits_for,
        "blocked_reason": row.blocked_reason,
        "reason": row.reason,
        "prove_by": row.prove_by,
        "failures": present["failures"] + 1 if row.failed else 0,
        "tried_for_us": present["tried_for_us"] + row.tried_for // timedelta(microseconds=1),
    }
    if row.to == "dispatched":
        values |= {"dispatched_at": row.now, "tried_for_us": 0}
    return values


_ATTEMPT = Prepared(insert(attempts))


def _add_attempts(connection: Connection, rows: Sequence[Change], last: dict[str, int]) -> None:
    made = []
    for row in rows:
        n = last[row.delivery_id] = last[row.delivery_id] + 1
        error = row.seal_error(n) if row.seal_error else None
        own = {"delivery": row.delivery_id, "n": n, "at": row.now, "error": error}
        made.append({**(row.attempt or {}), **own})
    units.later(connection, _ATTEMPT, made)


_LEASED = rows_of((deliveries.c.id, deliveries.c.lease), "held")
_LEASED_IN = Prepared(select(deliveries.c.lane).where(_LEASED).distinct())
_RELEASE = Prepared(
    update(deliveries)
    .where(_LEASED)
    .values(due_at=bindparam("now"), lease=None)
    .returning(deliveries.c.lane)
)


def release(connection: Connection, rows: Sequence[tuple[str, str, datetime]]) -> list[None]:
    """Give leases back untouched (id, lease, now): nothing was sent."""
    now, held = rows[0][2], {"held": [row[:2] for row in rows]}
    lanes.wake(connection, dict.fromkeys(_LEASED_IN.run(connection, held).scalars(), now))
    freed = _RELEASE.run(connection, held | {"now": now}).scalars()
    lanes.give_back(connection, list(freed))
    units.wake(connection, "deliveries")
    return [None] * len(rows)


@dataclass(frozen=True, slots=True)
class Parking:
    """A leased delivery that waits for a pause to end, None: for its turn. Nothing was sent."""

    delivery_id: str
    lease: str
    lane: str
    subject: Subject | None
    now: datetime


def park(connection: Connection, rows: Sequence[Parking]) -> list[bool]:
    """Let deliveries wait; False: the pause has ended meanwhile, and this one is due again."""
    # Pauses before lanes before deliveries: everybody locks in this order.
    held = pauses.held(connection, {row.subject for row in rows if row.subject})
    lanes.wake(connection, {row.lane: row.now for row in rows})
    waits = [row.subject is None or row.subject in held for row in rows]
    left = [
        row.lane
        for row, each in zip(rows, waits, strict=True)
        if _park(connection, row, waits=each)
    ]
    lanes.give_back(connection, left)
    return waits


def _park(connection: Connection, row: Parking, *, waits: bool) -> bool:
    own = deliveries.c
    values: dict[str, Any] = {"lease": None, "due_at": row.now}
    if row.subject is None:  # unless its turn has come meanwhile
        values["due_at"] = case(
            (own.waits_for == "sequence", null()), else_=literal(row.now, own.due_at.type)
        )
    elif waits:
        values |= {"waits_for": "pause", "reason": row.subject, "due_at": None}
    held = (own.id == row.delivery_id, own.lease == row.lease)
    return bool(connection.execute(update(deliveries).where(*held).values(values)).rowcount)


@dataclass(frozen=True, slots=True)
class Move:
    """A leased delivery that another lane paces by now: nothing was sent."""

    delivery_id: str
    lease: str
    lane: str
    to: str
    pace: Pace
    now: datetime


def move(connection: Connection, rows: Sequence[Move]) -> list[None]:
    """Put deliveries into the lanes that pace them now, due at once."""
    now = rows[0].now
    ready = {lane: now for row in rows for lane in (row.lane, row.to)}
    opening, opened = lanes.opening(connection, ready, now, rows[0].pace)
    opening.run_all(connection, opened)
    left = []
    for row in rows:
        own = (deliveries.c.id == row.delivery_id, deliveries.c.lease == row.lease)
        there = {"lane": row.to, "lease": None, "due_at": now}
        if connection.execute(update(deliveries).where(*own).values(there)).rowcount:
            left.append(row.lane)
    lanes.give_back(connection, left)
    units.wake(connection, "deliveries")
    return [None] * len(rows)


@dataclass(frozen=True, slots=True)
class Hastening:
    """What waits in a lane, for a later time or for something else."""

    lane: str
    limit: int
    now: datetime


def hasten(connection: Connection, rows: Sequence[Hastening]) -> list[int]:
    """Make due now what its consumer took back since it was made, so that it is decided on.

    What it waits for stays noted: it never goes out before that. Answers how many, `limit` at most.
    """
    return [_hasten(connection, row) for row in rows]


def _hasten(connection: Connection, row: Hastening) -> int:
    own, its = deliveries.c, repositories.c
    late = own.due_at > row.now
    held = own.due_at.is_(None) & own.waits_for.is_not(None)
    taken_back = exists().where(
        its.id == own.target_repository_id,
        or_(its.withdrawn_at > own.created_at, its.consumer_enabled_at.is_(None)),
    )
    ids: list[str] = []
    for waits in (late, held):
        free = select(own.id).where(own.lane == row.lane, waits, own.lease.is_(None), taken_back)
        ids += connection.execute(free.limit(row.limit - len(ids))).scalars()
    if not ids:
        return 0
    lanes.wake(connection, {row.lane: row.now})
    due = update(deliveries).where(own.id.in_(ids), own.lease.is_(None), or_(late, held))
    connection.execute(due.values(due_at=row.now))
    units.wake(connection, "deliveries")
    return len(ids)  # those too that were leased meanwhile: the caller must not stop for them


def probe(connection: Connection, rows: Sequence[tuple[str, datetime]]) -> list[str | None]:
    """Make due one delivery that waits for `waits_for`, as a trial; answers its lane."""
    answers = []
    for waits_for, now in rows:
        waiting = deliveries.c.waits_for == waits_for, deliveries.c.lease.is_(None)
        first = select(deliveries.c.id, deliveries.c.lane).where(*waiting)
        found = connection.execute(first.order_by(deliveries.c.due_at).limit(1)).first()
        if found:
            lanes.wake(connection, {found.lane: now})
            free = deliveries.c.id == found.id, deliveries.c.lease.is_(None)
            connection.execute(update(deliveries).where(*free).values(due_at=now))
        answers.append(found.lane if found else None)
    return answers


def resume(connection: Connection, rows: Sequence[tuple[str, datetime]]) -> list[int]:
    """Make due what waits for `waits_for`, but what is under way; answers how many."""
    answers = []
    for waits_for, now in rows:
        waiting = and_(deliveries.c.waits_for == waits_for, deliveries.c.lease.is_(None))
        lanes.wake(connection, _lanes(connection, waiting, at=now))
        due = update(deliveries).where(waiting).values(waits_for=None, due_at=now)
        answers.append(connection.execute(due).rowcount)
    units.wake(connection, "deliveries")
    return answers


def _lanes(connection: Connection, which: ColumnElement[bool], at: datetime) -> dict[str, datetime]:
    """The lanes of these deliveries, to be woken, and thereby locked, before them."""
    found = connection.execute(select(deliveries.c.lane).where(which).distinct()).scalars()
    return dict.fromkeys(found, at)
