"""What one transaction gathers beside its rows, and what its functions leave for their end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, bindparam, func, select

from zekt_bot.db.prepared import Prepared, run_together

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.prepared import Call
    from zekt_bot.domain.audit import Entry

_NOTIFY = Prepared(select(func.pg_notify("zekt", bindparam("topics", type_=Text()))))


@dataclass(slots=True)
class Unit:
    """Audit entries, topics to wake, and statements that were left for later."""

    entries: list[Entry] = field(default_factory=list)
    topics: set[str] = field(default_factory=set)
    left: list[Call] = field(default_factory=list)


def begin(connection: Connection) -> Unit:
    """Start with nothing."""
    unit = connection.info["zekt_unit"] = Unit()
    return unit


def of(connection: Connection) -> Unit:
    """The unit of the transaction under way."""
    unit: Unit = connection.info["zekt_unit"]
    return unit


def wake(connection: Connection, topic: str) -> None:
    """Wake whoever waits for `topic`, once this transaction is committed."""
    of(connection).topics.add(topic)


def later(connection: Connection, statement: Prepared, rows: Sequence[Mapping[str, Any]]) -> None:
    """Run it once a row when this function ends, before the next one and before any claim.

    On PostgreSQL neighbours of one row each share a round trip (`run_together`). Who looks at what
    one changes calls `run_left` first.
    """
    if rows:
        of(connection).left.append((statement, rows))


def run_left(connection: Connection) -> None:
    """Run what was left for later."""
    unit = of(connection)
    left, unit.left = unit.left, []
    run_together(connection, left)


def notify(connection: Connection) -> None:
    """Wake other processes, once this transaction is committed."""
    topics = of(connection).topics
    if topics and connection.dialect.name == "postgresql":
        _NOTIFY.run(connection, {"topics": ",".join(sorted(topics))})
