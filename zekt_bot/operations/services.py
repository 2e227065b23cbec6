"""Services: a provider publishes allow-listed workflows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import audit, mirror, workflows
from zekt_bot.db import services as rows_of
from zekt_bot.db.rows import profile_columns
from zekt_bot.domain.access import decide
from zekt_bot.domain.catalog import (
    Profile,
    Service,
    check_profile,
    check_slug,
    check_workflow_path,
)
from zekt_bot.domain.ids import new_id
from zekt_bot.errors import Conflict
from zekt_bot.operations import repositories

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.operations.broker import Broker

PLAIN = Profile()


@dataclass(frozen=True, slots=True)
class Publication:
    """A service to be: its workflow, its short name and how it shows itself."""

    path: str
    slug: str
    profile: Profile = PLAIN


@dataclass(frozen=True, slots=True)
class _Publishing:
    repository: Repository
    row: Mapping[str, Any]
    entry: Entry


async def publish(
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
    repository = await repositories.provider(broker, full_name)
    workflow = (repository.id, path)
    if not await broker.database.query(workflows.allowed, [workflow]):
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
    if not await broker.database.write(_publish, _Publishing(repository, row, entry)):
        raise Conflict(
            f"{full_name.partition('/')[0]} has a service {slug} already, or {path} is published "
            "under another name: choose another slug, or use the service that is there."
        )
    return (await broker.database.query(rows_of.of_workflows, [workflow]))[workflow]


def _publish(connection: Connection, rows: Sequence[_Publishing]) -> list[bool]:
    answers = []
    for row in rows:
        new = rows_of.add(connection, row.row)
        if new:
            mirror.touch(connection, row.repository.id)
            audit.record(connection, row.entry)
        answers.append(new)
    return answers
