"""Sending again: which deliveries fit, and the pages in which their successors are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import false, func, insert, select, update

from zekt_bot.db import audit, units
from zekt_bot.db import deliveries as delivery_rows
from zekt_bot.db.lists.parts import UNAPPROVED
from zekt_bot.db.tables import deliveries, envelopes, replays, runs, subscriptions
from zekt_bot.domain.deliveries import FINAL
from zekt_bot.domain.replays import hindrance

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, RowMapping, Select

    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.deliveries import DeliveryState
    from zekt_bot.domain.lanes import Pace
    from zekt_bot.domain.replays import Hindrance

PAGE = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """Final deliveries with ids after `after` and up to `through` that fit; None: any.

    Of one envelope for one cause only the newest counts: what it succeeds is not sent beside it.
    `by_provider`, `by_consumer`: a person of that end alone asks.
    """

    after: str
    through: str
    only: str | None = None
    service_id: str | None = None
    subscription_id: str | None = None
    repository_id: int | None = None
    state: DeliveryState | None = None
    by_provider: bool = False
    by_consumer: bool = False


_FACTS = (
    func.coalesce(UNAPPROVED, false()).label("unapproved"),
    envelopes.c.body_gone_at.is_not(None).label("payload_gone"),
    subscriptions.c.paused_at.is_not(None).label("paused"),
    func.coalesce(subscriptions.c.provider_may_replay, false()).label("provider_may"),
)


def _joined(*columns: Any) -> Select[Any]:
    held = (deliveries.c.cause_kind == "subscription") & (
        subscriptions.c.id == deliveries.c.cause_id
    )
    return (
        select(*columns, *_FACTS)
        .select_from(deliveries)
        .join(envelopes, envelopes.c.id == deliveries.c.envelope)
        .join(runs, runs.c.id == envelopes.c.run)
        .outerjoin(subscriptions, held)
    )


_ROWS = _joined(
    deliveries, runs.c.correlation_id, runs.c.repository_id.label("source_repository_id")
)


def _fitting(which: Selection) -> list[ColumnElement[bool]]:
    newer, own = deliveries.alias("newer"), deliveries.c
    same = (
        newer.c.envelope == own.envelope,
        newer.c.cause_kind == own.cause_kind,
        newer.c.cause_id == own.cause_id,
    )
    # Not EXISTS, which PostgreSQL would answer by reading all deliveries.
    last = select(func.max(newer.c.replay_no)).where(*same).scalar_subquery()
    states = [which.state] if which.state else sorted(FINAL)
    named = (
        (own.id, which.only),
        (own.service_id, which.service_id),
        (own.cause_id, which.subscription_id),
        (own.target_repository_id, which.repository_id),
    )
    return [
        own.id > which.after,
        own.id <= which.through,
        own.state.in_(states),
        own.replay_no == last,
        *(column == value for column, value in named if value is not None),
    ]


def hindered(row: RowMapping, which: Selection) -> Hindrance | None:
    """What keeps a row of `page` from being sent again."""
    return hindrance(
        payload_gone=row["payload_gone"],
        paused=row["paused"],
        by_provider=which.by_provider,
        provider_may=row["provider_may"],
        unapproved=row["unapproved"] and which.by_consumer,
    )


def counts(connection: Connection, which: Selection) -> list[tuple[str, Hindrance | None, int]]:
    """How many fit, by state and by what keeps them from being sent again."""
    found = _joined(deliveries.c.state, func.count().label("many")).where(*_fitting(which))
    rows = connection.execute(found.group_by(deliveries.c.state, *_FACTS)).mappings()
    return [(row["state"], hindered(row, which), row["many"]) for row in rows]


def page(
    connection: Connection, which: Selection, of: Sequence[str] | None = None
) -> list[RowMapping]:
    """The first of those that fit, by id, with what decides about each; `of`: only among these."""
    found = _ROWS.where(*_fitting(which)).order_by(deliveries.c.id).limit(PAGE)
    if of is not None:
        found = found.where(deliveries.c.id.in_(of))
    return list(connection.execute(found).mappings())


def newest(connection: Connection, delivery_id: str) -> RowMapping | None:
    """The newest delivery of the same envelope for the same cause, or this one itself."""
    own, other = deliveries.alias("own").c, deliveries.c
    same = (
        other.envelope == own.envelope,
        other.cause_kind == own.cause_kind,
        other.cause_id == own.cause_id,
    )
    found = _ROWS.where(own.id == delivery_id, *same).order_by(other.replay_no.desc()).limit(1)
    return connection.execute(found).mappings().first()


@dataclass(frozen=True, slots=True)
class Page:
    """What was decided about the first page of `which`; `read` are the ids and hindrances seen.

    `replay_id`: of many, in pages; None: of one.
    """

    which: Selection
    read: Sequence[tuple[str, Hindrance | None]]
    rows: Sequence[Mapping[str, Any]]
    entries: Sequence[Entry]
    pace: Pace
    now: datetime
    replay_id: str | None = None


def add_page(connection: Connection, rows: Sequence[Page]) -> list[bool]:
    """Add successors and move the cursor; False: the facts have moved, and nothing was written."""
    return [_add_page(connection, row) for row in rows]


def _add_page(connection: Connection, row: Page) -> bool:
    units.run_left(connection)  # the page before this one
    _hold(connection, row.rows)
    # By their ids: nothing that is being written waits for a search through all deliveries.
    found = page(connection, row.which, [each for each, _ in row.read])
    if [(each["id"], hindered(each, row.which)) for each in found] != list(row.read):
        return False
    if row.replay_id and not _advance(connection, row.replay_id, row):
        return False
    if row.rows:
        delivery_rows.add(connection, row.rows, row.now, row.pace)
    for entry in row.entries:
        audit.record(connection, entry)
    return True


def _hold(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Until this transaction ends, no other replay succeeds these and no payload of them goes."""
    held = sorted({row["cause_id"] for row in rows})
    sent = sorted({row["envelope"] for row in rows})
    own = select(subscriptions.c.id).where(subscriptions.c.id.in_(held))
    connection.execute(own.order_by(subscriptions.c.id).with_for_update(read=True)).all()
    theirs = select(envelopes.c.id).where(envelopes.c.id.in_(sent))
    connection.execute(theirs.order_by(envelopes.c.id).with_for_update(key_share=True)).all()


def _advance(connection: Connection, replay_id: str, row: Page) -> bool:
    """Move the cursor over this page; a page that is not full is the last one."""
    last = len(row.read) < PAGE
    own = (replays.c.id == replay_id, replays.c.after == row.which.after)
    moved = update(replays).where(*own, replays.c.finished_at.is_(None))
    done = connection.execute(
        moved.values(
            after=row.read[-1][0] if row.read else row.which.after,
            made=replays.c.made + len(row.rows),
            left_out=replays.c.left_out + len(row.read) - len(row.rows),
            finished_at=row.now if last else None,
        )
    )
    return bool(done.rowcount)


def begin(connection: Connection, rows: Sequence[tuple[Mapping[str, Any], Entry]]) -> list[None]:
    """Begin replays of many; `add_page` has to follow until each is finished."""
    for row, entry in rows:
        connection.execute(insert(replays).values(**row))
        audit.record(connection, entry)
    return [None] * len(rows)


def one(connection: Connection, replay_id: str) -> RowMapping:
    """A replay of many, and how far it has come."""
    found = select(replays).where(replays.c.id == replay_id)
    return connection.execute(found).mappings().one()


def unfinished(connection: Connection) -> list[str]:
    """Replays that have not come to their end, the oldest first."""
    left = select(replays.c.id).where(replays.c.finished_at.is_(None))
    return list(connection.execute(left.order_by(replays.c.id)).scalars())
