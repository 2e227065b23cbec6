"""Messages that were not taken: one row for each run and reason, without what they said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from zekt_bot.db import audit
from zekt_bot.db.lists.parts import read, repository_id
from zekt_bot.db.sql import insert_if_new
from zekt_bot.db.tables import refused_messages, repositories

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, RowMapping

    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.lists import MessageFilter, Page

_KEY = ("repository_id", "run_id", "run_attempt", "reason")


def note(
    connection: Connection, rows: Sequence[tuple[Mapping[str, Any], Entry | None]]
) -> list[None]:
    """Note what was refused; the audit hears of a run's first of each reason."""
    for row, entry in rows:
        if insert_if_new(connection, refused_messages, row):
            if entry:
                audit.record(connection, entry)
        else:
            same = (refused_messages.c[name] == row[name] for name in _KEY)
            changed = {name: row[name] for name in ("event_type", "size", "last_at")}
            changed["times"] = refused_messages.c.times + 1
            connection.execute(update(refused_messages).where(*same).values(changed))
    return [None] * len(rows)


def page(connection: Connection, page: Page, wanted: MessageFilter) -> list[RowMapping]:
    """Refused messages, the newest first."""
    own = refused_messages.c
    statement = select(refused_messages, repositories.c.full_name).outerjoin(
        repositories, repositories.c.id == own.repository_id
    )
    if wanted.repository:
        statement = statement.where(own.repository_id == repository_id(wanted.repository))
    if wanted.event_type:
        statement = statement.where(own.event_type == wanted.event_type)
    if page.before:
        statement = statement.where(own.id < page.before)
    return read(connection, statement.order_by(own.id.desc()).limit(page.limit))
