"""Subscriptions: a consumer asks, the provider answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import audit, mirror, services
from zekt_bot.db import subscriptions as rows_of
from zekt_bot.domain.access import decide
from zekt_bot.domain.catalog import check_full_name, check_slug
from zekt_bot.domain.ids import new_id
from zekt_bot.domain.subscriptions import (
    REPOSITORY_DISPATCH,
    SUBSCRIPTION_MOVES,
    Subscription,
    SubscriptionState,
)
from zekt_bot.errors import Conflict, InvalidInput, NotFound
from zekt_bot.operations.installations import find_repository

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Repository, Service
    from zekt_bot.operations.broker import Broker


@dataclass(frozen=True, slots=True)
class _Moving:
    service: Service
    repository: Repository
    to: SubscriptionState
    actor: str
    fresh_id: str
    event_types: tuple[str, ...]
    entry: Entry
    now: datetime


async def request(
    broker: Broker, principal: Principal, service: str, full_name: str
) -> Subscription:
    """Ask for OWNER/SLUG to reach a repository, which is thereby enabled as a consumer.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it has been asked for, or approved, already.
    """
    decide(principal, "subscription:request")
    return await _move(broker, principal, service, full_name, "requested")


async def approve(
    broker: Broker, principal: Principal, service: str, full_name: str
) -> Subscription:
    """Approve what was requested.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it has not been requested, or was answered already.
    """
    decide(principal, "subscription:approve")
    return await _move(broker, principal, service, full_name, "approved")


async def _move(
    broker: Broker, principal: Principal, service: str, full_name: str, to: SubscriptionState
) -> Subscription:
    found = await _service(broker, service)
    repository = await find_repository(broker, check_full_name(full_name))
    now = broker.now()
    moving = _Moving(
        service=found,
        repository=repository,
        to=to,
        actor=principal.actor,
        fresh_id=new_id("sub", now),
        event_types=found.profile.event_types,
        entry=await broker.entry(
            f"person:subscription:{to}",
            principal.actor,
            account_id=repository.account_id,
            repository_id=repository.id,
            details={"service": found.id},
        ),
        now=now,
    )
    moved = await broker.database.write(_write, moving)
    if isinstance(moved, Subscription):
        return moved
    raise Conflict(
        f"{full_name} has no subscription to {service} yet: request it first."
        if moved is None
        else f"The subscription of {full_name} to {service} is {moved}; it cannot become {to}."
    )


async def _service(broker: Broker, name: str) -> Service:
    owner, slash, slug = name.partition("/")
    if not slash:
        raise InvalidInput(f"{name!r} is not a service: write OWNER/SLUG.")
    found = await broker.database.query(services.by_name, owner, check_slug(slug))
    if found is None:
        raise NotFound(f"There is no service {name}: its provider publishes it first.")
    return found


def _write(
    connection: Connection, rows: Sequence[_Moving]
) -> list[Subscription | SubscriptionState | None]:
    return [_move_one(connection, row) for row in rows]


def _move_one(connection: Connection, row: _Moving) -> Subscription | SubscriptionState | None:
    """The moved subscription; or, when it cannot move, the state it is in."""
    key = (row.service.id, row.repository.id, REPOSITORY_DISPATCH)
    held = rows_of.held(connection, *key)
    state = held.state if held else None
    if row.to not in SUBSCRIPTION_MOVES[state]:
        return state
    if held is None:
        rows_of.add(connection, _fresh(row))
    else:
        rows_of.change(connection, held.id, state=row.to, **_who(row))
    if row.to == "requested":
        mirror.enable(connection, row.repository.id, "consumer", row.now)
    audit.record(connection, row.entry)
    return rows_of.held(connection, *key)


def _who(row: _Moving) -> dict[str, Any]:
    asked = {"requested_by": row.actor, "requested_at": row.now}
    return asked if row.to == "requested" else {"approved_by": row.actor, "approved_at": row.now}


def _fresh(row: _Moving) -> dict[str, Any]:
    return {
        "id": row.fresh_id,
        "service_id": row.service.id,
        "repository_id": row.repository.id,
        "channel": REPOSITORY_DISPATCH,
        "event_types": json.dumps(row.event_types),
        "filters": json.dumps({}),
        "state": row.to,
        "version": 1,
        "created_at": row.now,
        **_who(row),
    }
