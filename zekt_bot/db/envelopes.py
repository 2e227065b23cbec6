"""Envelopes: what is ready to be matched and sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import bindparam, select, update

from zekt_bot.db.prepared import Prepared
from zekt_bot.db.rows import ENVELOPE, envelope_of
from zekt_bot.db.sql import one_of
from zekt_bot.db.tables import envelopes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.domain.events import Envelope


_UNFINISHED = Prepared(
    select(*(envelopes.c[name] for name in ENVELOPE)).where(
        one_of(envelopes.c.id, "ids"), envelopes.c.due_at.is_not(None)
    )
)


def envelopes_of(connection: Connection, ids: Sequence[str]) -> list[Envelope]:
    """Those of these envelopes that are not finished."""
    found = _UNFINISHED.run(connection, {"ids": ids}).mappings()
    return [envelope_of(row) for row in found]


class Advance(NamedTuple):
    """What matching did with one page of an envelope's subscribers.

    `to` is the last of them, `more` how many of them did not want it. `again_at`: when the next
    page follows; None: there is none, or `blocked` says why nobody hears of it.
    """

    envelope_id: str
    to: str
    more: int = 0
    again_at: datetime | None = None
    blocked: str | None = None


_ADVANCED = Prepared(
    update(envelopes)
    .where(envelopes.c.id == bindparam("envelope_id"))
    .values(
        fanned_out_to=bindparam("to"),
        filtered=envelopes.c.filtered + bindparam("more"),
        due_at=bindparam("again_at"),
        blocked_reason=bindparam("blocked"),
        version=envelopes.c.version + 1,
        failures=0,
        reason=None,
        lease=None,
    )
)


def advance(connection: Connection, rows: Sequence[Advance]) -> None:
    """Apply what matching decided about envelopes that are held."""
    if rows:
        _ADVANCED.run_all(connection, [row._asdict() for row in rows])
