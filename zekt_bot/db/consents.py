"""What accounts allowed, and how much is kept of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from zekt_bot.db.rows import APP
from zekt_bot.db.sql import one_of
from zekt_bot.db.tables import allowed_workflows, installations, runs, services, subscriptions
from zekt_bot.domain.consent import Installation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
