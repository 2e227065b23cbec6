"""What a principal may do: GitHub's answer for people, asked here and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.db import mirror
from zekt_bot.domain.access import SIDES, Operator, Person, Resource, decide
from zekt_bot.domain.names import check_full_name, check_login
from zekt_bot.errors import (
    AccessDenied,
    InstallationGone,
    InstallationSuspended,
    NotAdmitted,
    NotFound,
)
from zekt_bot.operations import fields, lookup
from zekt_bot.operations.installations import find_repository, not_shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zekt_bot.domain.access import Action, Principal
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.operations.broker import Broker


async def person(broker: Broker, login: str) -> Person:
    """The person who has this login at GitHub now, known by their id from here on.

    Raises:
        InvalidInput, GitHubError.
        NotFound: there is no such person; an organization or an App is none.
    """
    told = await lookup.account(broker, check_login(login))
    if told is None or told.get("type") != "User":
        raise NotFound(f"GitHub knows no person {login}: check the login.")
    return Person(fields.number(told, "id"), fields.text(told, "login", 100))


async def manages(
    broker: Broker, principal: Principal, repositories: Iterable[Repository]
) -> frozenset[int]:
    """Ids of those of `repositories` that this person administers or maintains at GitHub.

    Operators need no such permission, and a workflow run has none: they manage nothing.

    Raises:
        GitHubError.
    """
    if not isinstance(principal, Person):
        return frozenset()
    roles = await broker.roles.of(principal, repositories)
    return frozenset(each for each, role in roles.items() if role == "manages")


async def check(
    broker: Broker,
    principal: Principal,
    action: Action,
    *,
    provider: Repository | None = None,
    consumer: Repository | None = None,
) -> None:
    """Decide whether `principal` may do `action` to what lies between these repositories.

    Raises:
        AccessDenied, GitHubError.
    """
    ends = [each for each in (provider, consumer) if each is not None]
    decide(
        principal,
        action,
        Resource(
            provider=provider.id if provider else None, consumer=consumer.id if consumer else None
        ),
        await manages(broker, principal, ends),
    )


async def repository(
    broker: Broker, principal: Principal, action: Action, full_name: str
) -> Repository:
    """The repository that `principal` named for `action`, as GitHub shows it now.

    Raises:
        InvalidInput, AccessDenied, GitHubError, StorageUnavailable.
        NotFound: the App is not there, or a person named a private repository that they may not
            see: whether it exists is not told.
        NotAdmitted: its account is not; a person hears NotFound.
    """
    check_full_name(full_name)
    refuse_runs(principal, action)
    found = await at_github(broker, principal, full_name)
    return await _allowed(broker, principal, action, found, full_name)


async def at_github(broker: Broker, principal: Principal, full_name: str) -> Repository:
    """As `installations.find_repository`; people are not told which accounts are admitted, and of
    one that cannot be asked not which repositories it has.

    Raises:
        NotFound, NotAdmitted, Conflict, GitHubError, StorageUnavailable.
    """
    is_person = isinstance(principal, Person)
    try:
        return await find_repository(broker, full_name, for_operator=not is_person)
    except (NotAdmitted, InstallationGone, InstallationSuspended):
        if is_person:
            raise not_shown(full_name) from None
        raise


async def known(broker: Broker, principal: Principal, action: Action, full_name: str) -> Repository:
    """As `repository`, as Zekt remembers it: for what must be possible without GitHub too.

    Raises:
        InvalidInput, AccessDenied, NotFound, StorageUnavailable.
        GitHubError: a person asks, and GitHub does not say who they are to it.
    """
    check_full_name(full_name)
    refuse_runs(principal, action)
    found = await broker.database.query(mirror.repository_by_name, full_name)
    if found is None:
        raise not_shown(full_name)
    return await _allowed(broker, principal, action, found, full_name)


async def named(broker: Broker, principal: Principal, action: Action, full_name: str) -> Repository:
    """As `known`; what a person would not be shown so, as GitHub shows it now.

    So what is missing and what is hidden lead to the same answer, also while GitHub is away.

    Raises:
        as `known` and `repository`.
    """
    try:
        return await known(broker, principal, action, full_name)
    except NotFound:
        if not isinstance(principal, Person):
            raise
    return await repository(broker, principal, action, full_name)


def refuse_runs(principal: Principal, action: Action) -> None:
    """Raise AccessDenied for who could never do `action`, before anything is asked for them."""
    if not isinstance(principal, Operator | Person):
        decide(principal, action)


async def _allowed(
    broker: Broker, principal: Principal, action: Action, found: Repository, full_name: str
) -> Repository:
    sides = SIDES.get(action, frozenset())
    try:
        await check(
            broker,
            principal,
            action,
            provider=found if "provider" in sides else None,
            consumer=found if "consumer" in sides else None,
        )
    except AccessDenied:
        if not await sees(broker, principal, found):
            raise not_shown(full_name) from None
        raise
    return found


async def sees(broker: Broker, principal: Principal, repository: Repository) -> bool:
    """Whether this repository's existence is no secret to them."""
    if not isinstance(principal, Person):
        return True
    roles = await broker.roles.of(principal, [repository])
    return roles[repository.id] != "nothing"
