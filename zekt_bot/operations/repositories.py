"""Repositories that take part: a provider's is enabled by its people, a consumer's by asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import audit, mirror, tables, versions
from zekt_bot.db.lists import repositories as lists
from zekt_bot.domain.access import Person, decide
from zekt_bot.domain.lists import check_limit
from zekt_bot.errors import AccessDenied, Conflict
from zekt_bot.operations import access, withdrawals

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime
    from typing import Literal

    from sqlalchemy import Connection

    from zekt_bot.domain.access import Action, Principal
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.domain.lists import Page, RepositoryFilter
    from zekt_bot.operations.broker import Broker

    Part = Literal["provider", "consumer"]

PARTS: tuple[Part, ...] = ("provider", "consumer")


@dataclass(frozen=True, slots=True)
class _Enabling:
    repository: Repository
    part: Part
    entry: Entry
    now: datetime


async def enable(
    broker: Broker, principal: Principal, full_name: str, part: Part = "provider"
) -> Repository:
    """Let a repository take part.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: its account is not admitted to this server, it changed meanwhile, or what is
            kept of it is just being deleted.
    """
    repository = await access.repository(broker, principal, "repository:enable", full_name)
    check_not_purged(repository)
    enabling = await _enabling(broker, principal, repository, part, "enabled")
    enabled = await broker.database.write(_enable, enabling)
    if enabled is None:
        raise Conflict(f"{full_name} changed at this moment: try again.")
    return enabled


async def disable(
    broker: Broker, principal: Principal, full_name: str, part: Part = "provider"
) -> Repository:
    """Let a repository take part no longer; allow-list, services and subscriptions stay.

    Nothing leaves it, or reaches it, until it is enabled again.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
    """
    repository = await access.named(broker, principal, "repository:disable", full_name)
    enabling = await _enabling(broker, principal, repository, part, "disabled")
    disabled = await broker.database.write(_disable, enabling)
    if part == "consumer" and disabled.installation_id is not None:
        await withdrawals.hasten(broker, disabled.installation_id)
    return disabled


async def take_part(
    broker: Broker, principal: Principal, full_name: str, parts: Collection[Part]
) -> None:
    """Let a repository take part as these, and as nothing else.

    Raises:
        AccessDenied, NotFound, InvalidInput, Conflict, GitHubError, StorageUnavailable: what was
            done before stays done; it is the same if it is asked for again.
    """
    for part in PARTS:
        act = enable if part in parts else disable
        await act(broker, principal, full_name, part)


async def _enabling(
    broker: Broker, principal: Principal, repository: Repository, part: Part, verb: str
) -> _Enabling:
    entry = await broker.entry(
        f"person:repository:{verb}",
        principal.actor,
        account_id=repository.account_id,
        repository_id=repository.id,
        details={"role": part},
    )
    return _Enabling(repository, part, entry, broker.now())


def _enable(connection: Connection, rows: Sequence[_Enabling]) -> list[Repository | None]:
    return [_enable_one(connection, row) for row in rows]


def _enable_one(connection: Connection, row: _Enabling) -> Repository | None:
    """None: the repository changed since it was decided on, perhaps its owner."""
    read = {row.repository.id: row.repository.version}
    if not versions.hold(connection, tables.repositories, read, to_change=True):
        return None
    mirror.enable(connection, row.repository.id, row.part, row.now)
    audit.record(connection, row.entry)
    return _present(connection, row)


def _disable(connection: Connection, rows: Sequence[_Enabling]) -> list[Repository]:
    for row in rows:
        if mirror.disable(connection, row.repository.id, row.part):
            audit.record(connection, row.entry)
    return [_present(connection, row) for row in rows]


def _present(connection: Connection, row: _Enabling) -> Repository:
    return mirror.repositories_by_id(connection, [row.repository.id])[row.repository.id]


async def list_repositories(
    broker: Broker, principal: Principal, page: Page, wanted: RepositoryFilter
) -> list[dict[str, Any]]:
    """A page of the repositories that Zekt has heard of, by name, after the name `page.before`.

    Raises:
        AccessDenied, InvalidInput, StorageUnavailable.
    """
    if isinstance(principal, Person):
        raise AccessDenied(
            "You see a repository that you manage: `zekt repositories show OWNER/REPO`."
        )
    decide(principal, "repository:read")
    check_limit(page)
    found = await broker.database.query(lists.page, page, wanted)
    return [_shown(each) for each in found]


async def show(broker: Broker, principal: Principal, full_name: str) -> dict[str, Any]:
    """One repository: what Zekt may do to it, and whether it takes part.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
    """
    return _shown(await access.known(broker, principal, "repository:read", full_name))


def _shown(repository: Repository) -> dict[str, Any]:
    return {
        "repository": repository.full_name,
        "id": repository.id,
        "provider": repository.provider,
        "consumer": repository.consumer,
        "obstacle": repository.obstacle,
        "private": repository.private,
    }


async def provider(
    broker: Broker, principal: Principal, action: Action, full_name: str
) -> Repository:
    """The repository OWNER/REPO, which must be enabled as a provider, for `action`.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is not enabled as a provider.
    """
    repository = await access.repository(broker, principal, action, full_name)
    check_provider(repository)
    return repository


def check_not_purged(repository: Repository) -> None:
    """Raise Conflict while what is kept of it is being deleted: what is new would go with it."""
    if repository.purging:
        raise Conflict(
            f"What was kept of {repository.full_name} is being deleted, because the App was not "
            "there for long: try again in some minutes."
        )


def check_provider(repository: Repository) -> None:
    """Raise Conflict for one that is not enabled as a provider."""
    if not repository.provider:
        name = repository.full_name
        raise Conflict(
            f"{name} is not enabled as a provider: run `zekt repositories enable {name}`."
        )
