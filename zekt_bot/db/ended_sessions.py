"""Sessions that are over: they stay until their token is dead at GitHub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, or_, select, update

from zekt_bot.db.tables import accounts, sessions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Renewed:
    """A token that was renewed only to be given back. `body` is sealed."""

    hash: str
    body: bytes
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Dead:
    """A session whose token (`body`, sealed) GitHub takes no longer."""

    hash: str
    body: bytes
    now: datetime


def over(connection: Connection, now: datetime, idle: timedelta, most: int) -> dict[str, bytes]:
    """Sealed tokens, by hash, of sessions that are over: ended, old, idle, of a blocked person.

    One whose token is being renewed is left for the next time.
    """
    free = or_(sessions.c.leased_until.is_(None), sessions.c.leased_until <= now)
    ended = or_(
        sessions.c.expires_at <= now, sessions.c.seen_at <= now - idle, accounts.c.rule == "block"
    )
    known = sessions.outerjoin(accounts, accounts.c.id == sessions.c.account_id)
    found = select(sessions.c.hash, sessions.c.body).select_from(known).where(free, ended)
    rows = connection.execute(found.order_by(sessions.c.expires_at, sessions.c.hash).limit(most))
    return {row.hash: row.body for row in rows}


def keep(connection: Connection, rows: Sequence[Renewed]) -> list[None]:
    """Hold what was renewed in the place of what it is renewed from."""
    for row in rows:
        newer = sessions.c.version + 1
        values = {"body": row.body, "token_expires_at": row.expires_at, "version": newer}
        connection.execute(update(sessions).where(sessions.c.hash == row.hash).values(values))
    return [None] * len(rows)


def drop(connection: Connection, rows: Sequence[Dead]) -> list[None]:
    """Forget sessions, unless their token was renewed meanwhile, or somebody is at it."""
    for row in rows:
        free = or_(sessions.c.leased_until.is_(None), sessions.c.leased_until <= row.now)
        same = (sessions.c.hash == row.hash, sessions.c.body == row.body)
        connection.execute(delete(sessions).where(*same, free))
    return [None] * len(rows)
