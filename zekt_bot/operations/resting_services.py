"""Services whose workflow GitHub has no longer, or has disabled: they rest until it is back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from zekt_bot.db import audit, mirror, services, tables, versions
from zekt_bot.domain.audit import SYSTEM
from zekt_bot.errors import GitHubAnswered, GitHubError, InstallationGone, InstallationSuspended
from zekt_bot.github.workflows import by_path
from zekt_bot.operations.workflows import told_by_github

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Repository, Rests, Service
    from zekt_bot.operations.broker import Broker

_PAGE = 8
_OF_ONE = (GitHubAnswered, InstallationGone, InstallationSuspended)  # no word of the others
GONE: Rests = "workflow_gone"
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Change:
    service: Service
    rests: Rests | None
    entry: Entry


async def look(broker: Broker, stopped: Callable[[], bool] = lambda: False) -> int:
    """Ask GitHub for the workflows of all published services; answers how many changed.

    Repositories are asked in pages, until `stopped`. Where GitHub does not say, nothing changes.

    Raises:
        StorageUnavailable.
    """
    changed = after = 0
    while page := await broker.database.query(services.watched, after, _PAGE):
        known = await broker.database.query(mirror.repositories_by_id, page)
        asked = [known[each] for each in page if known[each].consented]
        answers = await asyncio.gather(*(_look_at(broker, each) for each in asked))
        if stopped() or None in answers:
            break
        changed += sum(each or 0 for each in answers)
        after = page[-1]
    return changed


async def wake(broker: Broker, found: Sequence[Service]) -> None:
    """The workflows of these services ran, so that they rest no more.

    One that changes meanwhile is left to `look`.

    Raises:
        StorageUnavailable.
    """
    for service in found:
        await broker.database.write(_write, await _change(broker, service, None))


async def _look_at(broker: Broker, repository: Repository) -> int | None:
    """How many of its services changed; None: GitHub answers nobody at the moment."""
    published = await broker.database.query(services.published_by, repository.id)
    try:
        told = by_path(await told_by_github(broker, repository))
    except GitHubError as error:
        _log.info("workflows.unknown", repository_id=repository.id, error=str(error))
        return 0 if isinstance(error, _OF_ONE) else None
    changes = []
    for service in published:
        listed = told.get(service.workflow_path)
        there = listed is not None and listed.state == "active"
        if there and service.rests == GONE:
            changes.append(await _change(broker, service, None))
        elif not there and service.rests is None:
            changes.append(await _change(broker, service, GONE))
    return sum(await asyncio.gather(*(broker.database.write(_write, each) for each in changes)))


async def _change(broker: Broker, service: Service, rests: Rests | None) -> _Change:
    entry = await broker.entry(
        f"zekt:service:{'rested' if rests else 'woken'}",
        SYSTEM,
        account_id=service.account_id,
        repository_id=service.repository_id,
        details={"service": service.id, "reason": GONE},
    )
    return _Change(service, rests, entry)


def _write(connection: Connection, rows: Sequence[_Change]) -> list[bool]:
    """False: the service changed while GitHub was asked; it is looked at the next time."""
    return [_write_one(connection, row) for row in rows]


def _write_one(connection: Connection, row: _Change) -> bool:
    read = {row.service.id: row.service.version}
    if not versions.hold(connection, tables.services, read, to_change=True):
        return False
    services.change(connection, row.service.id, rests=row.rests)
    audit.record(connection, row.entry)
    return True
