"""Periodic work, once in the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from zekt_bot.db.sql import insert_new
from zekt_bot.db.tables import chores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


def take(connection: Connection, rows: Sequence[tuple[str, datetime, datetime]]) -> list[bool]:
    """Take (name, now, next time): True for the one process that does it this time."""
    return [_take(connection, *row) for row in rows]


def _take(connection: Connection, name: str, now: datetime, again_at: datetime) -> bool:
    insert_new(connection, chores, [{"name": name, "due_at": now}])
    due = (
        select(chores.c.name)
        .where(chores.c.name == name, chores.c.due_at <= now)
        .with_for_update(skip_locked=True)
    )
    if connection.execute(due).first() is None:
        return False
    connection.execute(update(chores).where(chores.c.name == name).values(due_at=again_at))
    return True
