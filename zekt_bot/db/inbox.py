"""The inbox: verified webhooks, stored before GitHub hears 202."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, tuple_, update

from zekt_bot.db.sql import insert_new
from zekt_bot.db.tables import inbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping


def add(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Insert the rows whose App and GUID are new; answers the ids that were."""
    if not rows:
        return set()
    insert_new(connection, inbox, sorted(rows, key=lambda row: (row["app"], row["guid"])))
    keys = [(row["app"], row["guid"]) for row in rows]
    stored = connection.execute(
        select(inbox.c.id).where(tuple_(inbox.c.app, inbox.c.guid).in_(keys))
    ).scalars()
    return set(stored) & {row["id"] for row in rows}


def load(connection: Connection, ids: Sequence[str]) -> list[RowMapping]:
    """The rows with their sealed bodies."""
    columns = (
        inbox.c.id,
        inbox.c.app,
        inbox.c.event,
        inbox.c.action,
        inbox.c.guid,
        inbox.c.installation_id,
        inbox.c.account_id,
        inbox.c.observed,
        inbox.c.repository_id,
        inbox.c.run_id,
        inbox.c.run_attempt,
        inbox.c.raw,
        inbox.c.failures,
        inbox.c.lease,
        inbox.c.received_at,
    )
    return list(connection.execute(select(*columns).where(inbox.c.id.in_(ids))).mappings())


def processed(connection: Connection, ids: Sequence[str], now: datetime) -> None:
    """Mark rows as done: the body goes, the row stays for deduplication."""
    connection.execute(
        update(inbox)
        .where(inbox.c.id.in_(ids))
        .values(state="processed", processed_at=now, raw=None, reason=None, due_at=None, lease=None)
    )


def done(connection: Connection, rows: Sequence[tuple[str, datetime]]) -> list[None]:
    """Mark rows for which there is nothing to do."""
    processed(connection, [row_id for row_id, _ in rows], rows[0][1])
    return [None] * len(rows)
