"""Plugins that a process stopped asking, so that `zekt check` can see it from outside."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, select

from zekt_bot.db.sql import upsert
from zekt_bot.db.tables import plugin_faults

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


# A process says each hour that its plugin is still off; what nobody says for a day is over.
SAID_EVERY = timedelta(hours=1)
_KEPT = timedelta(days=1)


class Fault(NamedTuple):
    """`process` (HOST:PID) asks `plugin` no more, since its `hook` did not return.

    `at`: when the process last said so.
    """

    process: str
    plugin: str
    hook: str
    at: datetime


def put(connection: Connection, rows: Sequence[Fault]) -> list[None]:
    """Keep these faults, or that they still are."""
    for row in rows:
        upsert(connection, plugin_faults, [row._asdict()], ("hook", "at"))
    return [None] * len(rows)


def present(connection: Connection, now: datetime) -> list[Fault]:
    """The faults of processes that still live, as far as can be told."""
    found = select(*(plugin_faults.c[name] for name in Fault._fields))
    fresh = found.where(plugin_faults.c.at > now - _KEPT).order_by(plugin_faults.c.at)
    return [Fault(*row) for row in connection.execute(fresh)]


def forget_old(connection: Connection, rows: Sequence[datetime]) -> list[None]:
    """Forget, at this time, what nobody says any longer."""
    connection.execute(delete(plugin_faults).where(plugin_faults.c.at <= max(rows) - _KEPT))
    return [None] * len(rows)


def processes(connection: Connection, host: str) -> list[str]:
    """The processes of a host that have a fault."""
    found = connection.execute(select(plugin_faults.c.process).distinct()).scalars()
    return [process for process in found if process.rpartition(":")[0] == host]


def forget(connection: Connection, rows: Sequence[str]) -> list[None]:
    """These processes have ended, or begin anew."""
    connection.execute(delete(plugin_faults).where(plugin_faults.c.process.in_(rows)))
    return [None] * len(rows)
