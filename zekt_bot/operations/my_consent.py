"""What a person's accounts allowed, what is kept of them, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from zekt_bot.db import consents

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.db.consents import Stored
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.my_repositories import Listing, Owned


@dataclass(frozen=True, slots=True)
class Consent:
    """What an account allowed. `stored` is of the repositories that this person manages alone.

    `gone_at`: when that is deleted, as consent is gone; None: it stands, or is kept for ever.
    """

    owned: Owned
    stored: Stored
    gone_at: datetime | None

    @property
    def purging(self) -> bool:
        """Whether what is kept is just being deleted."""
        return any(each.purging for each in self.owned.repositories)


async def view(broker: Broker, found: Listing) -> list[Consent]:
    """Of each account with repositories that a person manages, by login.

    Raises:
        StorageUnavailable.
    """
    ids = {each.account.id: [one.id for one in each.repositories] for each in found.owned}
    stored = await broker.database.query(_stored, ids)
    return [_consent(broker, each, stored[each.account.id]) for each in found.owned]


def _stored(connection: Connection, ids: dict[int, list[int]]) -> dict[int, Stored]:
    return {account: consents.stored(connection, account, each) for account, each in ids.items()}


def _consent(broker: Broker, owned: Owned, stored: Stored) -> Consent:
    return Consent(owned, stored, gone_at(broker, owned.repositories))


def gone_at(broker: Broker, repositories: Iterable[Repository]) -> datetime | None:
    """When what is kept of the first of these without consent is deleted; None: of none it is."""
    return min((at for each in repositories if (at := _gone_at(broker, each))), default=None)


def _gone_at(broker: Broker, repository: Repository) -> datetime | None:
    days = broker.settings.withdrawn_days
    kept = repository.lapsed_at or repository.provider or repository.consumer
    gone = repository.obstacle in {"not_installed", "app_suspended", "archived"}
    if not (days and kept and gone) or repository.purging:
        return None
    return (repository.lapsed_at or broker.now()) + timedelta(days=days)
