"""The consumers' runs that deliveries led to, or probably did: nothing of what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from zekt_bot.db.lists.parts import read
from zekt_bot.db.tables import runs

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection, RowMapping

_TOLD = (
    "run_number",
    "run_attempt",
    "status",
    "conclusion",
    "html_url",
    "bound_by",
    "reported",
    "hops",
)
_AT = ("created_at", "started_at", "completed_at", "received_at")


def of(connection: Connection, delivery_ids: Collection[str]) -> Sequence[RowMapping]:
    """Each attempt of each run, by `delivery_id`, in the order in which they began."""
    caused_by = runs.c.caused_by_delivery_id
    told = (caused_by.label("delivery_id"), *(runs.c[name] for name in (*_TOLD, *_AT)))
    found = select(*told).where(caused_by.in_(delivery_ids))
    return read(connection, found.order_by(runs.c.started_at, runs.c.run_id, runs.c.run_attempt))
