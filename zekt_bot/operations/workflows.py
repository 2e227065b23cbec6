"""The allow-list: workflows whose events may leave their repository, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zekt_bot.db import audit, mirror
from zekt_bot.db import workflows as rows_of
from zekt_bot.domain.access import decide
from zekt_bot.domain.catalog import (
    AllowedWorkflow,
    Conditions,
    check_conditions,
    check_workflow_path,
)
from zekt_bot.operations import repositories

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.audit import Entry
    from zekt_bot.operations.broker import Broker

EVERY_DAY = Conditions()


@dataclass(frozen=True, slots=True)
class _Allowing:
    allowed: AllowedWorkflow
    entry: Entry
    now: datetime


async def allow(
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
    repository = await repositories.provider(broker, full_name)
    entry = await broker.entry(
        "person:workflow:allowed",
        principal.actor,
        account_id=repository.account_id,
        repository_id=repository.id,
        details={"forks": int(conditions.forks)},
    )
    allowed = AllowedWorkflow(repository.id, path, conditions)
    return await broker.database.write(_allow, _Allowing(allowed, entry, broker.now()))


def _allow(connection: Connection, rows: Sequence[_Allowing]) -> list[bool]:
    answers = []
    for row in rows:
        new = rows_of.allow(connection, row.allowed, row.now)
        if new:
            mirror.touch(connection, row.allowed.repository_id)
            audit.record(connection, row.entry)
        answers.append(new)
    return answers
