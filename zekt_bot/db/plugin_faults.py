"""Plugins that a process stopped asking, so that `zekt check` can see it from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, select

from zekt_bot.db.sql import insert_new
from zekt_bot.db.tables import plugin_faults

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


class Fault(NamedTuple):
    """`process` (HOST:PID) asks `plugin` no more, since its `hook` did not return."""

    process: str
    plugin: str
    hook: str
    at: datetime


def add(connection: Connection, rows: Sequence[Fault]) -> list[None]:
    """Keep these faults."""
    insert_new(connection, plugin_faults, [row._asdict() for row in rows])
    return [None] * len(rows)


def processes(connection: Connection, host: str) -> list[str]:
    """The processes of a host that have a fault."""
    found = connection.execute(select(plugin_faults.c.process).distinct()).scalars()
    return [process for process in found if process.rpartition(":")[0] == host]


def forget(connection: Connection, rows: Sequence[str]) -> list[None]:
    """These processes have ended, or begin anew."""
    connection.execute(delete(plugin_faults).where(plugin_faults.c.process.in_(rows)))
    return [None] * len(rows)
