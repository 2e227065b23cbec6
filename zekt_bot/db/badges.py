"""Whether GitHub verified that an organization is who it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import or_, select, update

from zekt_bot.db.rows import APP
from zekt_bot.db.tables import accounts, installations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


class Unasked(NamedTuple):
    """An organization, and the installation that may ask about it."""

    account_id: int
    login: str
    installation_id: int


class Badge(NamedTuple):
    """What GitHub said; `verified` is None where it did not tell."""

    account_id: int
    verified: bool | None
    now: datetime


def unasked(connection: Connection, before: datetime, limit: int) -> list[Unasked]:
    """Organizations with the App of which GitHub was not asked since `before`."""
    own, there = accounts.c, installations.c
    stale = or_(own.verified_asked_at.is_(None), own.verified_asked_at < before)
    found = (
        select(own.id, own.login, there.id)
        .join(installations, there.account_id == own.id)
        .where(there.app == APP, there.state == "active", own.kind == "Organization", stale)
        .order_by(own.verified_asked_at.is_not(None), own.id)
    )
    return [Unasked(*row) for row in connection.execute(found.limit(limit))]


def put(connection: Connection, rows: Sequence[Badge]) -> list[None]:
    """Note each. No decision rests on it, so that no version rises."""
    for row in rows:
        told = {} if row.verified is None else {"verified": row.verified}
        own = update(accounts).where(accounts.c.id == row.account_id)
        connection.execute(own.values(verified_asked_at=row.now, **told))
    return [None] * len(rows)
