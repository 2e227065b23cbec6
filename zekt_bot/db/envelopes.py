"""Envelopes: what is ready to be matched and sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from zekt_bot.db.rows import envelope_of
from zekt_bot.db.tables import envelopes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.domain.events import Envelope


def envelopes_of(connection: Connection, ids: Sequence[str]) -> list[Envelope]:
    """Those of these envelopes that are not finished."""
    unfinished = envelopes.c.id.in_(ids), envelopes.c.due_at.is_not(None)
    found = connection.execute(select(envelopes).where(*unfinished)).mappings()
    return [envelope_of(row) for row in found]


def advance(connection: Connection, envelope: Envelope, filtered: int, **values: Any) -> bool:
    """Apply what matching decided about `envelope`, as it was read; False: it has changed."""
    return bool(
        connection.execute(
            update(envelopes)
            .where(envelopes.c.id == envelope.id, envelopes.c.version == envelope.version)
            .values(
                version=envelopes.c.version + 1,
                filtered=envelopes.c.filtered + filtered,
                lease=None,
                **values,
            )
        ).rowcount
    )
