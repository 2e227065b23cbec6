"""How far nothing is missing, as GitHub's own lists were read."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import select

from zekt_bot.db.sql import upsert
from zekt_bot.db.tables import coverage
from zekt_bot.domain.recovery import Coverage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_CHANGED = ("no_gap_since", "covered_to", "cursor", "checked_at", "problem")


def every(connection: Connection) -> list[Coverage]:
    """All that was ever looked at, by name."""
    found = connection.execute(select(coverage).order_by(coverage.c.name)).mappings()
    return [Coverage(**row) for row in found]


def of(connection: Connection, name: str) -> Coverage:
    """The one of this name; an empty one if it was never looked at."""
    found = connection.execute(select(coverage).where(coverage.c.name == name)).mappings().first()
    return Coverage(**found) if found else Coverage(name)


def save(connection: Connection, rows: Sequence[Coverage]) -> list[None]:
    """Keep them; the last one of a name counts."""
    for row in rows:
        upsert(connection, coverage, [asdict(row)], _CHANGED)
    return [None] * len(rows)
