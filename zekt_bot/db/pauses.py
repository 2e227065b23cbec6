"""Pauses, and giving back what waited for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, false, or_, select, true, update

from zekt_bot.db import audit, lanes, mirror, services, subscriptions, units
from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import insert_if_new
from zekt_bot.db.tables import deliveries, pauses
from zekt_bot.domain.pauses import EVERYTHING, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection

    from zekt_bot.domain.audit import Entry

PAGE = 500
_ACTIVE = pauses.c.resumed_at.is_(None)
_ALL = Prepared(select(pauses.c.subject).where(_ACTIVE))


def active(connection: Connection) -> frozenset[Subject]:
    """What is on hold now; an operator's few decisions, so all of them at once."""
    return frozenset(_ALL.run(connection).scalars())


def held(connection: Connection, subjects: Iterable[Subject]) -> frozenset[Subject]:
    """Which of these are on hold; they stay so until this transaction ends."""
    wanted = set(subjects)
    if not wanted:
        return frozenset()
    there = select(pauses.c.subject).where(pauses.c.subject.in_(wanted), _ACTIVE)
    in_order = there.order_by(pauses.c.subject).with_for_update(read=True)
    return frozenset(connection.execute(in_order).scalars())


def hold(connection: Connection, subjects: Iterable[Subject]) -> bool:
    """Whether all of these are on hold; they stay so until this transaction ends."""
    wanted = set(subjects)
    return held(connection, wanted) == wanted


def begin(connection: Connection, rows: Sequence[tuple[Mapping[str, Any], Entry]]) -> list[bool]:
    """Put on hold (`subject`, `by`, `at`); False: it was so already."""
    return [_begin(connection, *row) for row in rows]


def _begin(connection: Connection, row: Mapping[str, Any], entry: Entry) -> bool:
    new = insert_if_new(connection, pauses, {**row, "resumed_at": None})
    if not new:  # perhaps it was being resumed
        again = and_(pauses.c.subject == row["subject"], pauses.c.resumed_at.is_not(None))
        new = bool(
            connection.execute(
                update(pauses).where(again).values(by=row["by"], at=row["at"], resumed_at=None)
            ).rowcount
        )
    if new:
        audit.record(connection, entry)
    return new


def end(connection: Connection, rows: Sequence[tuple[Subject, datetime, Entry]]) -> list[bool]:
    """Hold no longer: `give_back` has to follow; False: it was not on hold."""
    answers = []
    for subject, now, entry in rows:
        held = and_(pauses.c.subject == subject, _ACTIVE)
        ended = connection.execute(update(pauses).where(held).values(resumed_at=now)).rowcount
        if ended:
            audit.record(connection, entry)
        answers.append(bool(ended))
    return answers


def ended(connection: Connection) -> list[Subject]:
    """What was resumed, but whose deliveries have not all been given back."""
    found = select(pauses.c.subject).where(~_ACTIVE).order_by(pauses.c.subject)
    return list(connection.execute(found).scalars())


def give_back(connection: Connection, rows: Sequence[tuple[Subject, datetime]]) -> list[int]:
    """Make due a page of what waited for a resumed pause; 0: nothing is left, and it is gone."""
    return [_give_back(connection, *row) for row in rows]


def _give_back(connection: Connection, subject: Subject, now: datetime) -> int:
    waiting = select(deliveries.c.id, deliveries.c.lane).where(
        deliveries.c.waits_for == "pause",
        _held_by({subject}),
        ~_held_by(active(connection)),
    )
    page = connection.execute(waiting.order_by(deliveries.c.id).limit(PAGE)).all()
    if not page:
        gone = and_(pauses.c.subject == subject, ~_ACTIVE)
        connection.execute(delete(pauses).where(gone))
        return 0
    lanes.wake(connection, {row.lane: now for row in page})
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id.in_([row.id for row in page]), deliveries.c.waits_for == "pause")
        .values(waits_for=None, reason=None, due_at=now, updated_at=now)
    )
    units.wake(connection, "deliveries")
    return len(page)


def _held_by(subjects: Iterable[Subject]) -> ColumnElement[bool]:
    """The deliveries that one of these pauses holds."""
    if EVERYTHING in subjects:
        return true()
    named = _by_kind(subjects)
    numbers = [int(each) for each in named["account"]]
    return or_(
        false(),
        deliveries.c.provider_account_id.in_(numbers),
        deliveries.c.consumer_account_id.in_(numbers),
        deliveries.c.service_id.in_(named["service"]),
        deliveries.c.cause_id.in_(named["subscription"]),
    )


def listed(connection: Connection) -> list[Mapping[str, Any]]:
    """What is on hold, the longest first: `subject`, its `kind` and `name`, `by`, `at`."""
    found = select(pauses.c.subject, pauses.c.by, pauses.c.at).where(_ACTIVE)
    rows = connection.execute(found.order_by(pauses.c.at)).mappings().all()
    names = _names(connection, [row["subject"] for row in rows])
    return [
        {
            **row,
            "kind": row["subject"].partition(":")[0],
            "name": names.get(row["subject"], row["subject"]),
        }
        for row in rows
    ]


def _names(connection: Connection, subjects: Iterable[Subject]) -> dict[str, str]:
    """As people call them."""
    named = _by_kind(subjects)
    logins = mirror.logins(connection, map(int, named["account"]))
    published = (services.by_id(connection, each) for each in named["service"])
    held = (subscriptions.listed(connection, each) for each in named["subscription"])
    return {
        EVERYTHING: "everything",
        **{f"account:{each}": login for each, login in logins.items()},
        **{f"service:{each.id}": each.name for each in published if each},
        **{
            f"subscription:{row['id']}": f"{row['shown_owner']}/{row['slug']} to {row['consumer']}"
            for row in held
            if row
        },
    }


def _by_kind(subjects: Iterable[Subject]) -> dict[str, list[str]]:
    """The ids of the accounts, services and subscriptions among them."""
    named: dict[str, list[str]] = {"account": [], "service": [], "subscription": []}
    for subject in subjects:
        kind, _, name = subject.partition(":")
        if name:
            named[kind].append(name)
    return named
