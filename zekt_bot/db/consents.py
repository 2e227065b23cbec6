"""What accounts allowed, and how much is kept of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from zekt_bot.db.rows import APP
from zekt_bot.db.sql import one_of
from zekt_bot.db.tables import (
    allowed_workflows,
    installations,
    repositories,
    runs,
    services,
    subscriptions,
)
from zekt_bot.domain.consent import Installation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping, Select

MOST_COUNTED = 1000

_OF_ACCOUNTS = (
    select(installations)
    .where(installations.c.app == APP, one_of(installations.c.account_id, "ids"))
    .order_by(installations.c.state == "deleted", installations.c.updated_at.desc())
)


@dataclass(frozen=True, slots=True)
class Stored:
    """How many rows are kept of some repositories; counting ends at 1,001."""

    workflows: int = 0
    services: int = 0
    subscriptions: int = 0
    events: int = 0


def installations_of(connection: Connection, account_ids: Iterable[int]) -> dict[int, Installation]:
    """By account: the installation that stands, else the last that stood."""
    found: dict[int, Installation] = {}
    for row in connection.execute(_OF_ACCOUNTS, {"ids": account_ids}).mappings():
        found.setdefault(row["account_id"], _installation(row))
    return found


def _installation(row: RowMapping) -> Installation:
    told = json.loads(row["permissions"])
    return Installation(
        id=row["id"],
        account_id=row["account_id"],
        state=row["state"],
        selection=row["repository_selection"],
        permissions={str(name): str(level) for name, level in told.items()},
        changed_at=row["updated_at"],
        installed_at=row["installed_at"],
        installed_by=row["installed_by"],
        suspended_at=row["suspended_at"],
        suspended_by=row["suspended_by"],
    )


@dataclass(frozen=True, slots=True)
class Use:
    """What a repository is used for: what it publishes, who listens, and what it listens to.

    `last_event_at`: when a run of it was last heard of.
    """

    services: int = 0
    consumers: int = 0
    subscriptions: int = 0
    last_event_at: datetime | None = None


def use_of(connection: Connection, repository_ids: Sequence[int]) -> dict[int, Use]:
    """By repository; subscriptions that stand, and services that are published."""
    own, published = repositories.c.id, services.c.published_at.is_not(None)
    stands = subscriptions.c.state == "approved"
    of_them = services.c.repository_id == own
    heard = select(func.max(runs.c.received_at)).where(runs.c.repository_id == own)
    listening = select(func.count()).select_from(subscriptions.join(services))
    found = select(
        own,
        select(func.count()).where(of_them, published).scalar_subquery(),
        listening.where(of_them, published, stands).scalar_subquery(),
        select(func.count()).where(subscriptions.c.repository_id == own, stands).scalar_subquery(),
        heard.scalar_subquery(),
    ).where(one_of(own, "ids"))
    return {row[0]: Use(*row[1:]) for row in connection.execute(found, {"ids": repository_ids})}


def stored(connection: Connection, account_id: int, repository_ids: Sequence[int]) -> Stored:
    """Of these repositories of an account; a subscription counts at both ends."""

    def count(found: Select[Any]) -> int:
        bounded = select(func.count()).select_from(found.limit(MOST_COUNTED + 1).subquery())
        return connection.execute(bounded, {"ids": repository_ids}).scalar_one()

    published = select(services.c.id).where(one_of(services.c.repository_id, "ids"))
    theirs = one_of(runs.c.repository_id, "ids") & (runs.c.account_id == account_id)
    own = or_(
        one_of(subscriptions.c.repository_id, "ids"), subscriptions.c.service_id.in_(published)
    )
    return Stored(
        workflows=count(
            select(allowed_workflows.c.path).where(one_of(allowed_workflows.c.repository_id, "ids"))
        ),
        services=count(published),
        subscriptions=count(select(subscriptions.c.id).where(own)),
        events=count(select(runs.c.id).where(theirs, runs.c.state != "open")),
    )
