"""What Zekt knows of installations, to be compared with what GitHub lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from zekt_bot.db.rows import APP, RepositoryRows
from zekt_bot.db.tables import accounts, installations
from zekt_bot.domain.catalog import Account

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from zekt_bot.domain.catalog import Repository

_ROWS = RepositoryRows("r_")
_REPOSITORIES = select(*_ROWS.columns).select_from(_ROWS.joined())


@dataclass(frozen=True, slots=True)
class Installed:
    """An installation as it is known; `permissions` is JSON."""

    account: Account
    state: str
    repository_selection: str
    permissions: str


def all_of_app(connection: Connection) -> dict[int, Installed]:
    """All installations that were not deleted, by id."""
    own = installations.c
    known = (
        select(
            own.id,
            accounts.c.id,
            accounts.c.login,
            accounts.c.kind,
            own.state,
            own.repository_selection,
            own.permissions,
        )
        .join(accounts, accounts.c.id == own.account_id)
        .where(own.app == APP, own.state != "deleted")
    )
    found = connection.execute(known).all()
    return {row[0]: Installed(Account(*row[1:4]), *row[4:]) for row in found}


def newest(connection: Connection, most: int) -> list[int]:
    """Ids of some active installations, those changed last first."""
    own = installations.c
    active = select(own.id).where(own.app == APP, own.state == "active")
    return list(connection.execute(active.order_by(own.updated_at.desc()).limit(most)).scalars())


def enabled_of(connection: Connection, installation_id: int, account_id: int) -> list[Repository]:
    """Enabled repositories in an installation, and those of its account that are in none."""
    own = _ROWS.table.c
    either = or_(own.provider_enabled_at.is_not(None), own.consumer_enabled_at.is_not(None))
    adrift = own.installation_id.is_(None) & (own.account_id == account_id)
    held = _REPOSITORIES.where(either, or_(own.installation_id == installation_id, adrift))
    return [_ROWS.read(row) for row in connection.execute(held.order_by(own.id)).mappings()]
