"""Running servers and workers, as each writes of itself."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, func, select

from zekt_bot.db.sql import upsert
from zekt_bot.db.tables import processes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

_FORGOTTEN_AFTER = timedelta(hours=1)
_CHANGED = ("beat_at", "clock_offset_us", "listening", "figures")


class Beat(NamedTuple):
    """A process that lives at `beat_at`; the columns of `processes`."""

    id: str
    kind: str
    host: str
    pid: int
    version: str
    started_at: datetime
    beat_at: datetime
    clock_offset_us: int | None
    listening: bool | None
    figures: str


def beat(connection: Connection, rows: Sequence[Beat]) -> list[None]:
    """Keep the newest of each process, and forget those that died an hour before."""
    for row in rows:
        upsert(connection, processes, [row._asdict()], _CHANGED)
    oldest = max(row.beat_at for row in rows) - _FORGOTTEN_AFTER
    connection.execute(delete(processes).where(processes.c.beat_at < oldest))
    return [None] * len(rows)


def end(connection: Connection, rows: Sequence[str]) -> list[None]:
    """These processes have ended."""
    connection.execute(delete(processes).where(processes.c.id.in_(rows)))
    return [None] * len(rows)


def known(connection: Connection) -> list[RowMapping]:
    """Every process that runs or lately died, the oldest first."""
    found = connection.execute(select(processes).order_by(processes.c.started_at, processes.c.id))
    return list(found.mappings())


def clock(connection: Connection) -> datetime:
    """PostgreSQL's clock; nothing else asks the database for the time."""
    told: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return told
