"""What a person may manage, as GitHub says to their own token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import consents, mirror
from zekt_bot.domain.catalog import standing
from zekt_bot.operations import access, user_tokens
from zekt_bot.operations.roles import may_manage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from zekt_bot.domain.catalog import Account, Repository
    from zekt_bot.domain.consent import Installation
    from zekt_bot.domain.sessions import Session
    from zekt_bot.operations.broker import Broker

_LISTS = "/user/installations"


@dataclass(frozen=True, slots=True)
class Owned:
    """An account's repositories that this person manages."""

    account: Account
    repositories: tuple[Repository, ...]
    installation: Installation | None

    @property
    def installed(self) -> bool:
        """Whether the orchestration App is there, suspended or not."""
        return self.installation is not None and self.installation.state != "deleted"

    @property
    def suspended(self) -> bool:
        """Whether the App is suspended there."""
        return self.installation is not None and self.installation.state == "suspended"


@dataclass(frozen=True, slots=True)
class Listing:
    """What this person manages, by owner. `missing`: accounts where the other App is not installed.

    There the person's token reaches something to manage, and Zekt nothing.
    """

    owned: tuple[Owned, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of them to show: a part of the name, an owner, a standing; empty: any."""

    name: str = ""
    owner: str = ""
    standing: str = ""

    def fits(self, repository: Repository) -> bool:
        """Whether this one is wanted."""
        owner, _, name = repository.full_name.partition("/")
        return (
            self.name.lower() in name.lower()
            and self.owner.lower() in {"", owner.lower()}
            and self.standing in {"", standing(repository)}
        )


async def listing(broker: Broker, session: Session) -> Listing:
    """Repositories of accounts that installed the App, which this person manages now.

    GitHub is asked with the person's own token; what it says is kept for a minute.

    Raises:
        SessionEnded, GitHubError, ConfigurationError, StorageUnavailable.
    """
    said = broker.roles.listed(session.hash)
    if said is None:
        said = await user_tokens.with_token(broker, session, lambda token: _ask(broker, token))
        broker.roles.keep(session.person, session.hash, said)
    known, accounts, installed = await broker.database.query(_known, list(said))
    owned = [
        Owned(accounts[owner], tuple(mine), installed.get(owner))
        for owner, mine in _by_owner(known).items()
        if owner in accounts
    ]
    there = {each.account.login.lower() for each in owned if each.installed}
    missing = {login for login in said.values() if login.lower() not in there}
    return Listing(
        tuple(sorted(owned, key=lambda each: each.account.login.lower())), tuple(sorted(missing))
    )


async def _ask(broker: Broker, token: str) -> dict[int, str]:
    """Ids of the repositories that this person administers or maintains, with their owners."""
    if await broker.oauth.is_classic():
        rows = [row async for row in broker.oauth.rows(token, "/user/repos")]
        return _managed(rows)
    found: dict[int, str] = {}
    async for installation in broker.oauth.rows(token, _LISTS, "installations"):
        number = installation.get("id")
        if installation.get("suspended_at") is None and isinstance(number, int):
            path = f"{_LISTS}/{number:d}/repositories"
            rows = [row async for row in broker.oauth.rows(token, path, "repositories")]
            found |= _managed(rows)
    return found


def _managed(rows: Iterable[dict[str, Any]]) -> dict[int, str]:
    found = {}
    for row in rows:
        number, full_name = row.get("id"), row.get("full_name")
        if isinstance(number, int) and isinstance(full_name, str) and may_manage(row):
            found[number] = full_name.partition("/")[0]
    return found


def _known(
    connection: Connection, ids: list[int]
) -> tuple[dict[int, Repository], dict[int, Account], dict[int, Installation]]:
    """Those that the App was ever installed on, also if they were taken out of it."""
    repositories = mirror.repositories_by_id(connection, ids)
    there = {
        id_: one
        for id_, one in repositories.items()
        if one.installation_id is not None or one.provider or one.consumer or one.lapsed_at
    }
    owners = {one.account_id for one in there.values()}
    accounts = mirror.accounts_by_id(connection, owners)
    return there, accounts, consents.installations_of(connection, owners)


def _by_owner(known: dict[int, Repository]) -> dict[int, list[Repository]]:
    grouped: dict[int, list[Repository]] = {}
    for each in sorted(known.values(), key=lambda one: one.full_name.lower()):
        grouped.setdefault(each.account_id, []).append(each)
    return grouped


async def named(broker: Broker, session: Session, full_name: str) -> Repository:
    """One repository by its name, also one that the lists do not show.

    Raises:
        InvalidInput, AccessDenied, NotFound, GitHubError, StorageUnavailable.
    """
    return await access.known(broker, session.person, "repository:read", full_name)
