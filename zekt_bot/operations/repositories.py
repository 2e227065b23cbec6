"""Repositories that take part: a provider's is enabled by its people, a consumer's by asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zekt_bot.db import audit, mirror
from zekt_bot.domain.access import decide
from zekt_bot.domain.catalog import check_full_name
from zekt_bot.errors import Conflict
from zekt_bot.operations.installations import find_repository

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Literal

    from sqlalchemy import Connection

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.operations.broker import Broker


@dataclass(frozen=True, slots=True)
class _Enabling:
    repository: Repository
    role: Literal["provider", "consumer"]
    entry: Entry
    now: datetime


async def enable(
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
    enabling = _Enabling(repository, role, entry, broker.now())
    return await broker.database.write(_enable, enabling)


def _enable(connection: Connection, rows: Sequence[_Enabling]) -> list[Repository]:
    for row in rows:
        mirror.enable(connection, row.repository.id, row.role, row.now)
        audit.record(connection, row.entry)
    found = mirror.repositories_by_id(connection, [row.repository.id for row in rows])
    return [found[row.repository.id] for row in rows]


async def provider(broker: Broker, full_name: str) -> Repository:
    """The repository OWNER/REPO, which must be enabled as a provider.

    Raises:
        NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is not enabled as a provider.
    """
    repository = await find_repository(broker, check_full_name(full_name))
    if not repository.provider:
        raise Conflict(
            f"{full_name} is not enabled as a provider: run `zekt repositories enable {full_name}`."
        )
    return repository
