"""Operators beside those that the settings list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, select

from zekt_bot.db import audit
from zekt_bot.db.tables import operators, people

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.domain.audit import Entry


class Made(NamedTuple):
    """A person whom the setup made an operator; `present`: the login they had last, in small."""

    account_id: int
    login: str
    since: datetime
    present: str


@dataclass(frozen=True, slots=True)
class Removal:
    """Who is to be an operator no longer."""

    account_id: int
    entry: Entry


def made(connection: Connection) -> list[Made]:
    """All of them, the first one first."""
    chosen = select(operators, people.c.login.label("now_called"))
    known = chosen.outerjoin(people, people.c.account_id == operators.c.account_id)
    rows = connection.execute(known.order_by(operators.c.since, operators.c.account_id))
    return [
        Made(row.account_id, row.login, row.since, (row.now_called or row.login).lower())
        for row in rows
    ]


def remove(connection: Connection, rows: Sequence[Removal]) -> list[bool]:
    """Let people be operators no longer; False: they were none any more."""
    answers = []
    for row in rows:
        theirs = delete(operators).where(operators.c.account_id == row.account_id)
        answers.append(bool(connection.execute(theirs).rowcount))
        if answers[-1]:
            audit.record(connection, row.entry)
    return answers
