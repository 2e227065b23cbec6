"""What a clock that was ahead wrote, beside what is due: brought back when it is set back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import case, literal, null, or_, select, type_coerce, update

from zekt_bot.db.tables import coverage, deliveries, lanes, repositories, usage
from zekt_bot.db.types import UtcDateTime

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

_AN_HOUR = timedelta(hours=1)


def look_at_lanes(connection: Connection, now: datetime) -> None:
    """Look at every lane at once, and let none be closed beyond an hour."""
    late = lanes.c.next_ready_at > now
    names = select(lanes.c.name).where(late).order_by(lanes.c.name).with_for_update()
    for name in list(connection.execute(names).scalars()):
        hour = literal(now + _AN_HOUR, lanes.c.open_at.type)
        opens = case((lanes.c.open_at > hour, hour), else_=lanes.c.open_at)
        mine = update(lanes).where(lanes.c.name == name)
        connection.execute(mine.values(next_ready_at=now, open_at=opens))


def bring_back(connection: Connection, now: datetime, ahead: datetime) -> None:
    """Change what says that it happened after `ahead`."""
    _proofs(connection, now, ahead)
    _coverage(connection, ahead)
    _withdrawals(connection, now, ahead)
    late = update(usage).where(usage.c.told_at > ahead)
    connection.execute(late.values(told_at=None))


def _proofs(connection: Connection, now: datetime, ahead: datetime) -> None:
    """A proof is waited for as long as was meant; what was sent was sent just now."""
    own, at = deliveries.c, literal(now, UtcDateTime())
    waited = update(deliveries).where(own.prove_by > ahead, own.updated_at > ahead)
    meant = type_coerce(at + (own.prove_by - own.updated_at), UtcDateTime())
    connection.execute(waited.values(prove_by=meant, updated_at=now))
    # By repository: that is how the index goes.
    anywhere = own.target_repository_id.in_(select(repositories.c.id))
    sent = update(deliveries).where(anywhere, own.dispatched_at > ahead)
    connection.execute(sent.values(dispatched_at=now))


def _withdrawals(connection: Connection, now: datetime, ahead: datetime) -> None:
    """What is made from now on was made after consent was taken back."""
    own = repositories.c
    wrong = update(repositories).where(own.withdrawn_at > ahead)
    connection.execute(wrong.values(withdrawn_at=now, version=own.version + 1, updated_at=now))


def _coverage(connection: Connection, ahead: datetime) -> None:
    """Nobody knows what is missing until now: it is looked for as at the first start."""
    own = coverage.c
    wrong = or_(own.covered_to > ahead, own.checked_at > ahead)
    reached = case((own.covered_to > ahead, null()), else_=own.covered_to)
    changed = update(coverage).where(wrong)
    connection.execute(changed.values(covered_to=reached, cursor=None, checked_at=None))
