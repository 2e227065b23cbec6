"""Workflows of a provider: what GitHub lists, and whose events may leave their repository."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import audit, mirror, tables, versions
from zekt_bot.db import services as services_of
from zekt_bot.db import workflows as rows_of
from zekt_bot.domain.catalog import AllowedWorkflow, Conditions, check_conditions
from zekt_bot.domain.names import check_workflow_path
from zekt_bot.errors import Conflict, NotFound
from zekt_bot.github.workflows import by_path
from zekt_bot.github.workflows import workflows as workflows_at_github
from zekt_bot.operations import access, repositories

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Repository, Service
    from zekt_bot.github.http import Answer
    from zekt_bot.github.workflows import ListedWorkflow
    from zekt_bot.operations.broker import Broker

BY_DEFAULT = Conditions()


@dataclass(frozen=True, slots=True)
class _Allowing:
    repository: Repository
    allowed: AllowedWorkflow
    entry: Entry
    now: datetime


async def list_workflows(
    broker: Broker, principal: Principal, full_name: str
) -> list[dict[str, Any]]:
    """A provider's workflows by path: `id`, `name`, `path`, `state`, `allowed`, `conditions`,
    `service`, `rests`.

    `state` is GitHub's; None, as `id` and `name`, for what stands on the allow-list though GitHub
    does not list it. `conditions`: the fields of `Conditions`; None for what is not allowed.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: the repository is not enabled as a provider.
    """
    repository = await access.known(broker, principal, "workflow:read", full_name)
    repositories.check_provider(repository)
    told = by_path(await told_by_github(broker, repository))
    allowed = await broker.database.query(rows_of.of_repository, repository.id)
    paths = sorted({*told, *(entry.path for entry in allowed)})
    keys = [(repository.id, path) for path in paths]
    services = await broker.database.query(services_of.of_workflows, keys)
    on_list = {entry.path: entry.conditions for entry in allowed}
    return [
        _shown(path, told.get(path), on_list.get(path), services.get((repository.id, path)))
        for path in paths
    ]


async def told_by_github(broker: Broker, repository: Repository) -> list[ListedWorkflow]:
    """All workflows that GitHub lists, deleted and disabled ones too.

    Raises:
        NotFound: the App is not installed there.
        GitHubError.
    """
    installation_id = repository.installation_id
    if installation_id is None:
        raise NotFound(f"GitHub shows no {repository.full_name} to the App: install it there.")

    async def ask(path: str) -> Answer:
        return await broker.github.ask_as_installation(installation_id, path)

    return await workflows_at_github(ask, repository.id)


def _shown(
    path: str, told: ListedWorkflow | None, conditions: Conditions | None, service: Service | None
) -> dict[str, Any]:
    return {
        "id": told.id if told else None,
        "name": told.name if told else None,
        "path": path,
        "state": told.state if told else None,
        "allowed": conditions is not None,
        "conditions": asdict(conditions) if conditions else None,
        "service": service.name if service and service.published else None,
        "rests": service.rests if service else None,
    }


async def allow(  # noqa: PLR0913 - `force` is the one word that a caller adds
    broker: Broker,
    principal: Principal,
    full_name: str,
    path: str,
    conditions: Conditions = BY_DEFAULT,
    *,
    force: bool = False,
) -> bool:
    """Put a workflow on its repository's allow-list, or change its conditions.

    False: it stood there so already. With `force`, GitHub's list need not have it (yet).

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: the repository is not enabled as a provider, it changed meanwhile, or GitHub
            lists no such workflow.
    """
    path, conditions = check_workflow_path(path), check_conditions(conditions)
    repository = await repositories.provider(broker, principal, "workflow:allow", full_name)
    if not force:
        await _check_there(broker, repository, path)
    entry = await broker.entry(
        "person:workflow:allowed",
        principal.actor,
        account_id=repository.account_id,
        repository_id=repository.id,
        details={"forks": int(conditions.forks)},
    )
    allowed = AllowedWorkflow(repository.id, path, conditions)
    allowing = _Allowing(repository, allowed, entry, broker.now())
    new = await broker.database.write(_allow, allowing)
    if new is None:
        raise Conflict(f"{full_name} changed at this moment: try again.")
    return new


async def disallow(broker: Broker, principal: Principal, full_name: str, path: str) -> bool:
    """Take a workflow off the allow-list: its runs leave no more. False: it was not there.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
    """
    path = check_workflow_path(path)
    repository = await access.known(broker, principal, "workflow:disallow", full_name)
    entry = await broker.entry(
        "person:workflow:disallowed",
        principal.actor,
        account_id=repository.account_id,
        repository_id=repository.id,
    )
    allowed = AllowedWorkflow(repository.id, path)
    allowing = _Allowing(repository, allowed, entry, broker.now())
    return await broker.database.write(_disallow, allowing)


async def _check_there(broker: Broker, repository: Repository, path: str) -> None:
    told = by_path(await told_by_github(broker, repository)).get(path)
    if told is None or not told.there:
        raise Conflict(
            f"GitHub lists no workflow {path} in {repository.full_name}: see `zekt workflows list "
            f"{repository.full_name}`, or give --force if its file is still to come."
        )


def _allow(connection: Connection, rows: Sequence[_Allowing]) -> list[bool | None]:
    """None: the repository changed since it was decided on, perhaps its owner."""
    answers: list[bool | None] = []
    for row in rows:
        read = {row.repository.id: row.repository.version}
        if not versions.hold(connection, tables.repositories, read, to_change=True):
            answers.append(None)
            continue
        new = rows_of.allow(connection, row.allowed, row.now)
        if new:
            mirror.touch(connection, row.allowed.repository_id)
            audit.record(connection, row.entry)
        answers.append(new)
    return answers


def _disallow(connection: Connection, rows: Sequence[_Allowing]) -> list[bool]:
    answers = []
    for row in rows:
        gone = rows_of.disallow(connection, row.allowed.repository_id, row.allowed.path)
        if gone:
            mirror.touch(connection, row.allowed.repository_id)
            audit.record(connection, row.entry)
        answers.append(gone)
    return answers
