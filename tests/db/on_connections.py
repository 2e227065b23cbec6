"""What tests run on a connection."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from zekt_bot.db.tables import chores

if TYPE_CHECKING:
    from sqlalchemy import Connection


def add(connection: Connection, name: str) -> None:
    """Within a transaction that it does not end."""
    connection.execute(insert(chores).values(name=name, due_at=datetime.now(UTC)))


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(chores.c.name).order_by(chores.c.name)).scalars())


def held(connection: Connection) -> Any:
    """The driver's connection."""
    return connection.connection.driver_connection
