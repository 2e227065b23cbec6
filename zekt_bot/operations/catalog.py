"""What a provider does: enable a repository, allow a workflow, publish a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import audit, catalog, mirror
from zekt_bot.db.rows import profile_columns
from zekt_bot.domain.access import decide
from zekt_bot.domain.catalog import (
    AllowedWorkflow,
    Conditions,
    Profile,
    Service,
    check_conditions,
    check_full_name,
    check_profile,
    check_slug,
    check_workflow_path,
)
from zekt_bot.domain.ids import new_id
from zekt_bot.errors import Conflict
from zekt_bot.operations.installations import find_repository

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Literal

    from sqlalchemy import Connection

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.operations.broker import Broker

EVERY_DAY = Conditions()
PLAIN = Profile()


@dataclass(frozen=True, slots=True)
class _Writing:
    repository: Repository
    row: Mapping[str, Any]
    entry: Entry
    now: datetime


async def enable_repository(
    broker: Broker,
    principal: Principal,
    full_name: str,
    role: Literal["provider", "consumer"] = "provider",
) -> Repository:
    """Let a repository take part; once enabled it stays so.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
    """
    decide(principal, "repository:enable")
    repository = await find_repository(broker, check_full_name(full_name))
    entry = await broker.entry(
        "person:repository:enabled",
        principal.actor,
        account_id=repository.account_id,
        repository_id=repository.id,
        details={"role": role},
    )
    writing = _Writing(repository, {"role": role}, entry, broker.now())
    return await broker.database.write(_enable, writing)


def _enable(connection: Connection, rows: Sequence[_Writing]) -> list[Repository]:
    for row in rows:
        mirror.enable(connection, row.repository.id, row.row["role"], row.now)
        audit.record(connection, row.entry)
    found = mirror.repositories_by_id(connection, [row.repository.id for row in rows])
    return [found[row.repository.id] for row in rows]


async def allow_workflow(
    broker: Broker,
    principal: Principal,
    full_name: str,
    path: str,
    conditions: Conditions = EVERY_DAY,
) -> bool:
    """Put a workflow on its repository's allow-list, or change its conditions.

    False: it stood there so already.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: the repository is not enabled as a provider.
    """
    decide(principal, "workflow:allow")
    path, conditions = check_workflow_path(path), check_conditions(conditions)
    repository = await _provider(broker, full_name)
    entry = await broker.entry(
        "person:workflow:allowed",
        principal.actor,
        account_id=repository.account_id,
        repository_id=repository.id,
        details={"forks": int(conditions.forks)},
    )
    allowed = AllowedWorkflow(repository.id, path, conditions)
    return await broker.database.write(_allow, _Allowing(allowed, entry, broker.now()))


@dataclass(frozen=True, slots=True)
class _Allowing:
    allowed: AllowedWorkflow
    entry: Entry
    now: datetime


def _allow(connection: Connection, rows: Sequence[_Allowing]) -> list[bool]:
    answers = []
    for row in rows:
        new = catalog.allow(connection, row.allowed, row.now)
        if new:
            mirror.touch(connection, row.allowed.repository_id)
            audit.record(connection, row.entry)
        answers.append(new)
    return answers


@dataclass(frozen=True, slots=True)
class Publication:
    """A service to be: its workflow, its short name and how it shows itself."""

    path: str
    slug: str
    profile: Profile = PLAIN


async def publish_service(
    broker: Broker, principal: Principal, full_name: str, wanted: Publication
) -> Service:
    """Publish an allow-listed workflow as a service.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: not a provider, not on the allow-list, or slug or workflow are taken.
    """
    decide(principal, "service:publish")
    path, slug = check_workflow_path(wanted.path), check_slug(wanted.slug)
    profile = check_profile(wanted.profile)
    repository = await _provider(broker, full_name)
    workflow = (repository.id, path)
    if not await broker.database.query(catalog.allowed, [workflow]):
        raise Conflict(
            f"{path} is not on the allow-list of {full_name}: "
            f"run `zekt workflows allow {full_name} {path}` first."
        )
    now = broker.now()
    row = {
        "id": new_id("svc", now),
        "account_id": repository.account_id,
        "repository_id": repository.id,
        "workflow_path": path,
        "slug": slug,
        **profile_columns(profile),
        "published_at": now,
        "version": 1,
        "created_at": now,
    }
    entry = await broker.entry(
        "person:service:published",
        principal.actor,
        account_id=repository.account_id,
        repository_id=repository.id,
        details={"service": row["id"], "slug": slug},
    )
    if not await broker.database.write(_publish, _Writing(repository, row, entry, now)):
        raise Conflict(
            f"{full_name.partition('/')[0]} has a service {slug} already, or {path} is published "
            "under another name: choose another slug, or use the service that is there."
        )
    return (await broker.database.query(catalog.services_of, [workflow]))[workflow]


def _publish(connection: Connection, rows: Sequence[_Writing]) -> list[bool]:
    answers = []
    for row in rows:
        new = catalog.add_service(connection, row.row)
        if new:
            mirror.touch(connection, row.repository.id)
            audit.record(connection, row.entry)
        answers.append(new)
    return answers


async def _provider(broker: Broker, full_name: str) -> Repository:
    repository = await find_repository(broker, check_full_name(full_name))
    if not repository.provider:
        raise Conflict(
            f"{full_name} is not enabled as a provider: run `zekt repositories enable {full_name}`."
        )
    return repository
