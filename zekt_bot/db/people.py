"""What is kept of somebody who signed in, beside their account's repositories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, or_, select, update

from zekt_bot.db import audit, sessions
from zekt_bot.db.sessions import End
from zekt_bot.db.tables import installations, operators, people, principals
from zekt_bot.db.tables import sessions as sessions_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Column, Connection, Select, Table

    from zekt_bot.domain.access import Person
    from zekt_bot.domain.audit import Entry


@dataclass(frozen=True, slots=True)
class Kept:
    """All rows about a person; tokens are not given away, only until when they are good."""

    person: dict[str, Any] | None
    operator: dict[str, Any] | None
    sessions: list[dict[str, Any]]
    principal: dict[str, Any] | None
    installations: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Forgetting:
    """The person who wants nothing kept."""

    person: Person
    entry: Entry
    now: datetime


_SESSION = ("device", "started_at", "seen_at", "expires_at", "token_expires_at")


def kept(connection: Connection, person: Person) -> Kept:
    """Of this person, as it is now."""

    def rows(found: Select[Any]) -> list[dict[str, Any]]:
        read = connection.execute(found).mappings()
        return [{str(name): value for name, value in row.items()} for row in read]

    def one(table: Table, column: Column[Any], value: object) -> dict[str, Any] | None:
        return next(iter(rows(select(table).where(column == value))), None)

    theirs = sessions_table.c.account_id == person.id
    chosen = select(*(sessions_table.c[name] for name in _SESSION)).where(theirs)
    own = installations.c
    hands = select(
        own.id,
        own.account_id,
        (own.installed_by_id == person.id).label("installed"),
        (own.suspended_by_id == person.id).label("suspended"),
    ).where(or_(own.installed_by_id == person.id, own.suspended_by_id == person.id))
    return Kept(
        person=one(people, people.c.account_id, person.id),
        operator=one(operators, operators.c.account_id, person.id),
        sessions=rows(chosen.order_by(sessions_table.c.started_at)),
        principal=one(principals, principals.c.id, person.actor),
        installations=rows(hands.order_by(own.id)),
    )


def forget(connection: Connection, rows: Sequence[Forgetting]) -> list[dict[str, bytes]]:
    """Their sessions end, and names go; answers their sealed tokens by the sessions' hashes."""
    return [_forget(connection, row) for row in rows]


def _forget(connection: Connection, row: Forgetting) -> dict[str, bytes]:
    person = row.person
    ended = sessions.end(connection, [End(person.id, row.entry, now=row.now)])[0]
    if not ended:
        audit.record(connection, row.entry)
    connection.execute(delete(people).where(people.c.account_id == person.id))
    forget_hands(connection, person.id)
    forget_name(connection, person.actor)
    return ended


def forget_hands(connection: Connection, person_id: int) -> None:
    """They may have installed or suspended the App for an account that stays."""
    for verb in ("installed", "suspended"):
        name, number = f"{verb}_by", f"{verb}_by_id"
        theirs = update(installations).where(installations.c[number] == person_id)
        connection.execute(theirs.values({name: None, number: None}))


def forget_name(connection: Connection, actor: str) -> None:
    """The audit keeps their id alone."""
    connection.execute(update(principals).where(principals.c.id == actor).values(name=None))
