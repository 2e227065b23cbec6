"""What a person may manage, as GitHub says to their own token."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.db import consents, mirror
from zekt_bot.domain.catalog import standing
from zekt_bot.domain.consent import compared, state_of
from zekt_bot.errors import (
    AccessDenied,
    GitHubError,
    InstallationGone,
    InstallationSuspended,
    MalformedEvent,
    NotFound,
)
from zekt_bot.github import installations as at_github
from zekt_bot.github.manifest import manifest
from zekt_bot.operations import access, fields, repositories, user_tokens
from zekt_bot.operations.as_told import account_of
from zekt_bot.operations.installations import not_shown
from zekt_bot.operations.roles import Reach, Said, Waiting, may_manage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy import Connection

    from zekt_bot.db.consents import Use
    from zekt_bot.domain.access import Person
    from zekt_bot.domain.catalog import Account, Obstacle, Repository
    from zekt_bot.domain.consent import ConsentState, Installation, Permission
    from zekt_bot.domain.sessions import Session
    from zekt_bot.errors import Refused
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.repositories import Part

_UNREACHED: Mapping[Obstacle | None, type[GitHubError]] = {
    "app_suspended": InstallationSuspended,
    "not_installed": InstallationGone,
}
_LISTS = "/user/installations"
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Owned:
    """An account's repositories that this person manages.

    `permissions`: what it granted beside what the App asks for.
    """

    account: Account
    repositories: tuple[Repository, ...]
    installation: Installation | None
    permissions: tuple[Permission, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether the orchestration App is there, suspended or not."""
        return _stands(self.installation)

    @property
    def state(self) -> ConsentState:
        """How the account stands."""
        blocked = any(one.blocked for one in self.repositories)
        return state_of(self.installation, self.permissions, blocked=blocked)

    @property
    def selects(self) -> bool:
        """Whether it is there for some repositories, and not for all."""
        return self.installation is not None and self.installation.selection == "selected"


@dataclass(frozen=True, slots=True)
class Listing:
    """What this person manages, by owner, and what is missing there.

    `missing`: accounts where they manage something and the orchestration App is not installed.
    `unshared`: what they manage (full names) in an account where it is, but not for these.
    `waiting`: where they asked for it. `unread`: the sign-in App is not on their own account,
    though the orchestration App is. `reaches`: where the sign-in App is, None: a classic OAuth App.
    `names`: of all that they manage, in lower case.
    """

    owned: tuple[Owned, ...]
    missing: tuple[str, ...]
    unshared: tuple[str, ...]
    waiting: tuple[Waiting, ...]
    unread: bool
    reaches: tuple[Reach, ...] | None = None
    names: frozenset[str] = frozenset()

    @property
    def blind(self) -> bool:
        """Whether GitHub can say of no account what they manage there."""
        return self.reaches is not None and all(each.suspended for each in self.reaches)

    @property
    def suspended(self) -> tuple[Reach, ...]:
        """Where the sign-in App is suspended, so that nothing of theirs is listed."""
        return tuple(each for each in self.reaches or () if each.suspended)

    @property
    def narrow(self) -> tuple[Reach, ...]:
        """Where the sign-in App was given some repositories: the others are not listed."""
        return tuple(each for each in self.reaches or () if each.selects and not each.suspended)


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
        managed, reaches = await user_tokens.with_token(
            broker, session, lambda token: _ask(broker, token)
        )
        said = Said(managed, await waiting(broker, session.person), reaches)
        broker.roles.keep(session.person, session.hash, said)
    known, accounts, installed = await broker.database.query(
        _known, list(said.managed), session.person.id
    )
    wanted = manifest("orchestrator", broker.settings.public_url)["default_permissions"]
    owned = [
        Owned(accounts[owner], tuple(mine), there, _permissions(wanted, there))
        for owner, mine in _by_owner(known).items()
        for there in [installed.get(owner)]
        if owner in accounts
    ]
    there = {each.account.login.lower(): each for each in owned if each.installed}
    owners = {name.partition("/")[0] for name in said.managed.values()}
    some = {login for login, each in there.items() if each.selects}
    unshared = (name for id_, name in said.managed.items() if id_ not in known)
    mine = installed.get(session.person.id)
    return Listing(
        owned=tuple(sorted(owned, key=lambda each: each.account.login.lower())),
        missing=tuple(sorted(each for each in owners if each.lower() not in there)),
        unshared=tuple(sorted(one for one in unshared if _owner(one) in some)),
        waiting=said.waiting,
        unread=_stands(mine) and session.person.login.lower() not in {o.lower() for o in owners},
        reaches=said.reaches,
        names=frozenset(name.lower() for name in said.managed.values()),
    )


def _permissions(wanted: Mapping[str, str], there: Installation | None) -> tuple[Permission, ...]:
    return compared(wanted, there.permissions) if there and _stands(there) else ()


def _owner(full_name: str) -> str:
    return full_name.partition("/")[0].lower()


def _stands(installation: Installation | None) -> bool:
    return installation is not None and installation.state != "deleted"


async def waiting(broker: Broker, person: Person) -> tuple[Waiting, ...]:
    """Where they asked for the App, as GitHub confirms. A courtesy: without its answer, nowhere."""
    try:
        rows = await at_github.requested(broker.github)
        asked = [row for row in rows if fields.part(row, "requester").get("id") == person.id]
        return tuple(
            Waiting(account_of(fields.part(row, "account")), fields.moment(row, "created_at"))
            for row in asked
        )
    except (GitHubError, MalformedEvent) as error:
        _log.info("requests.unknown", error=str(error))
        return ()


async def _ask(broker: Broker, token: str) -> tuple[dict[int, str], tuple[Reach, ...] | None]:
    """Ids of the repositories that this person administers or maintains, with their names, and
    where GitHub can say so.
    """
    if await broker.oauth.is_classic():
        rows = [row async for row in broker.oauth.rows(token, "/user/repos")]
        return _managed(rows), None
    found: dict[int, str] = {}
    reaches = []
    async for row in broker.oauth.rows(token, _LISTS, "installations"):
        number, suspended = row.get("id"), row.get("suspended_at") is not None
        if not isinstance(number, int):
            continue
        with contextlib.suppress(MalformedEvent):  # an enterprise has no login
            account = account_of(fields.part(row, "account"))
            selects = row.get("repository_selection") == "selected"
            reaches.append(Reach(account, number, selects=selects, suspended=suspended))
        if not suspended:
            path = f"{_LISTS}/{number:d}/repositories"
            rows = [row async for row in broker.oauth.rows(token, path, "repositories")]
            found |= _managed(rows)
    return found, tuple(reaches)


def _managed(rows: Iterable[dict[str, Any]]) -> dict[int, str]:
    found = {}
    for row in rows:
        number, full_name = row.get("id"), row.get("full_name")
        if isinstance(number, int) and isinstance(full_name, str) and may_manage(row):
            found[number] = full_name
    return found


def _known(
    connection: Connection, ids: list[int], person_id: int
) -> tuple[dict[int, Repository], dict[int, Account], dict[int, Installation]]:
    """Those that the App was ever installed on, also if they were taken out of it."""
    repositories = mirror.repositories_by_id(connection, ids)
    there = {
        id_: one
        for id_, one in repositories.items()
        if one.installation_id is not None
        or one.provider
        or one.consumer
        or one.lapsed_at
        or one.purging
    }
    owners = {one.account_id for one in there.values()}
    accounts = mirror.accounts_by_id(connection, owners)
    return there, accounts, consents.installations_of(connection, {*owners, person_id})


def _by_owner(known: dict[int, Repository]) -> dict[int, list[Repository]]:
    grouped: dict[int, list[Repository]] = {}
    for each in sorted(known.values(), key=lambda one: one.full_name.lower()):
        grouped.setdefault(each.account_id, []).append(each)
    return grouped


async def uses(broker: Broker, repositories: Iterable[Repository]) -> dict[int, Use]:
    """What these, which the person manages, are used for: by id.

    Raises:
        StorageUnavailable.
    """
    return await broker.database.query(consents.use_of, [each.id for each in repositories])


async def at_hand(broker: Broker, session: Session, full_name: str) -> Repository | None:
    """One of which GitHub said within the last minute that they manage it: it is not asked again.

    Raises:
        GitHubError, StorageUnavailable.
    """
    said, name = broker.roles.listed(session.hash), full_name.lower()
    if said is None or name not in {each.lower() for each in said.managed.values()}:
        return None
    try:
        return await access.known(broker, session.person, "repository:read", full_name)
    except (NotFound, AccessDenied):  # Zekt has not met it, or the App cannot see it
        return None


async def named(broker: Broker, session: Session, full_name: str) -> Repository:
    """One repository by its name, also one that the lists do not show or that is new to Zekt.

    Raises:
        InvalidInput, AccessDenied, NotFound, GitHubError, StorageUnavailable.
        InstallationGone, InstallationSuspended: they manage it, and the App cannot be asked.
        SessionEnded, ConfigurationError.
    """
    try:
        return await access.named(broker, session.person, "repository:read", full_name)
    except (NotFound, AccessDenied, GitHubError) as error:
        raise await _told(broker, session, full_name, error) from None


async def take_part(
    broker: Broker, session: Session, full_name: str, parts: Collection[Part]
) -> None:
    """As `repositories.take_part`; to whom it belongs is told why it cannot.

    Raises:
        Conflict, and as `named`.
    """
    try:
        await repositories.take_part(broker, session.person, full_name, parts)
    except (NotFound, AccessDenied, GitHubError) as error:
        raise await _told(broker, session, full_name, error) from None


async def _told(
    broker: Broker, session: Session, full_name: str, error: Refused | GitHubError
) -> Refused | GitHubError:
    """What they hear of it: why the App cannot see or ask of it, if GitHub shows to their own token
    that they manage it. Else a missing one is answered alike, where an installation has no part.
    """
    found, name = await listing(broker, session), full_name.lower()
    for each in (each for owned in found.owned for each in owned.repositories):
        if each.full_name.lower() == name and each.obstacle in _UNREACHED:
            return _UNREACHED[each.obstacle]()
    if isinstance(error, GitHubError) and name not in found.names:
        return not_shown(full_name)
    return error


async def returned(broker: Broker, session: Session, installation_id: int) -> Owned | None:
    """Back from GitHub, which says that it led from this installation: whose it is, if so.

    What was said before is asked anew. None: of no account in which they manage something, as far
    as GitHub says so yet.

    Raises:
        as `listing`.
    """
    broker.roles.forget(session.hash)
    found = await listing(broker, session)
    ids = {each.installation.id: each for each in found.owned if each.installation}
    return ids.get(installation_id)
