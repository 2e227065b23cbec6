"""Work for this process's own worker, leased by the commit that made it due.

A unit that makes rows of a queue due claims them at its end, if the worker has room for them. A
claim of its own would be one more commit and one more wake-up. What is taken so is leased like
everything that is claimed: when the process dies it is due again at the end of its lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from zekt_bot.db import lanes, leases
from zekt_bot.db.lanes import LaneClaim
from zekt_bot.db.leases import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.db.units import Unit

Request = Claim | LaneClaim


class Leased(NamedTuple):
    """A row that is one's own, until then."""

    id: str
    lease: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """Rows that were leased together. `next_due`: when the next one of their queue is."""

    rows: Sequence[Leased]
    next_due: datetime | None


class Taker(Protocol):
    """A worker's end of a queue."""

    def request(self) -> Request | None:
        """With what to lease rows for it now; None: it takes none.

        It is asked within a transaction, on SQLite in the writer's thread: it only looks.
        """
        ...

    def take(self, page: Page) -> None:
        """Hear what was leased for it, and committed."""
        ...

    def wake(self) -> None:
        """Hear that rows may be due."""
        ...


def claim(connection: Connection, rows: Sequence[tuple[str, Request]]) -> list[Page]:
    """Lease due rows of a queue."""
    return [_claim(connection, *row) for row in rows]


def _claim(connection: Connection, topic: str, request: Request) -> Page:
    if isinstance(request, LaneClaim):
        ids, next_due = lanes.take(connection, request)
    else:
        ids, next_due = leases.take(connection, request)
    return Page([Leased(row_id, request.lease, request.until) for row_id in ids], next_due)


def finish(
    connection: Connection, unit: Unit, request: Callable[[str], Request | None]
) -> dict[str, Page]:
    """Lease what this unit has made due; nobody else is woken where nothing due is left.

    The audit is chained by then: a claim makes no entry, and leaves nothing for later.
    """
    pages = {}
    for topic in sorted(unit.topics):
        asked = request(topic)
        if asked is None:
            continue
        page = pages[topic] = _claim(connection, topic, asked)
        if page.next_due is None or page.next_due > asked.now:
            unit.topics.discard(topic)
    return pages
