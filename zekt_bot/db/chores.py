"""Periodic work, once in the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from zekt_bot.db import leases
from zekt_bot.db.sql import insert_if_new
from zekt_bot.db.tables import chores
from zekt_bot.domain.lanes import MOST_SKEW

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


def take(connection: Connection, rows: Sequence[tuple[str, datetime, datetime]]) -> list[bool]:
    """Take (name, now, next time): True for the one process that does it this time.

    One that is due later than its next time was taken by a clock that has been set back since:
    then nothing else that was written meanwhile may wait for that clock's time either.
    """
    return [_take(connection, *row) for row in rows]


def hasten(connection: Connection, rows: Sequence[tuple[str, datetime, datetime]]) -> list[None]:
    """Make (name, now, before) due now, if it is not due `before` then: it was just done."""
    for name, now, before in rows:
        waits = (chores.c.name == name, chores.c.due_at > now, chores.c.due_at < before)
        connection.execute(update(chores).where(*waits).values(due_at=now))
    return [None] * len(rows)


def put_off(connection: Connection, rows: Sequence[tuple[str, datetime]]) -> list[None]:
    """Who does (name) still does it: nobody else begins before the time given."""
    for name, until in rows:
        connection.execute(update(chores).where(chores.c.name == name).values(due_at=until))
    return [None] * len(rows)


def _take(connection: Connection, name: str, now: datetime, again_at: datetime) -> bool:
    insert_if_new(connection, chores, {"name": name, "due_at": now})
    mine = select(chores.c.due_at).where(chores.c.name == name)
    due_at = connection.execute(mine.with_for_update(skip_locked=True)).scalar()
    set_back = due_at is not None and due_at > again_at + MOST_SKEW
    if due_at is None or (due_at > now and not set_back):
        return False
    if set_back:
        leases.bring_back(connection, now)
    connection.execute(update(chores).where(chores.c.name == name).values(due_at=again_at))
    return True
