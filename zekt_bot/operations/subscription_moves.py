"""How a subscription moves: by the table of moves, in one unit for row and audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import audit, mirror, tables, usage, versions
from zekt_bot.db import subscriptions as rows_of
from zekt_bot.domain.audit import Entry
from zekt_bot.domain.subscriptions import SUBSCRIPTION_MOVES
from zekt_bot.errors import Conflict, QuotaExceeded
from zekt_bot.operations.broker import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.subscriptions import Subscription, Verb
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.subscription_parties import Parties

PAST = {
    "request": "requested",
    "invite": "invited",
    "accept": "accepted",
    "approve": "approved",
    "reject": "rejected",
    "decline": "declined",
    "revoke": "revoked",
    "withdraw": "withdrawn",
    "end": "ended",
    "expire": "expired",
}


@dataclass(frozen=True, slots=True)
class Changed:
    """What a verb changes in the row; `enables` the consumer; `also` written to the audit."""

    verb: Verb
    values: Mapping[str, Any]
    enables: bool = False
    also: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class _Writing:
    parties: Parties
    values: Mapping[str, Any]
    enables: bool
    entries: tuple[Entry, ...]
    now: datetime


async def move(
    broker: Broker, principal: Principal, found: Parties, changed: Changed
) -> Subscription:
    """Do what the verb says, if the table of moves lets it.

    Raises:
        NotFound: there is no subscription to do it to.
        Conflict: it does not, or something moved meanwhile.
        QuotaExceeded: the consumer's account has as many subscriptions as it may.
        StorageUnavailable.
    """
    held = found.held
    state = held.state if held else None
    sources, to = SUBSCRIPTION_MOVES[changed.verb]
    anew = changed.verb == "request" and found.outlived
    if state not in sources and not anew:
        if held is None:
            raise found.without()
        asking = changed.verb in {"request", "invite"}  # what is alive needs neither
        refused = "already" if asking or state == to else f"and cannot become {to}"
        raise Conflict(
            f"The subscription of {found.full_name} to {found.name} is {state} {refused}."
        )
    if changed.enables:
        await _check_quota(broker, found)
    values = {"state": to, **changed.values}
    entry = await _entry(broker, principal, found, PAST[changed.verb])
    entries = (entry, *changed.also)
    return await _write(broker, _Writing(found, values, changed.enables, entries, broker.now()))


async def _check_quota(broker: Broker, found: Parties) -> None:
    most = broker.settings.quota.subscriptions
    held = await broker.database.query(usage.subscribed, found.consumer.account_id) if most else 0
    if most and held >= most:
        raise QuotaExceeded(
            f"The account of {found.full_name} has {held} subscriptions, as many as this server "
            "gives one account: end one first."
        )


async def change(
    broker: Broker, principal: Principal, found: Parties, verb: str, values: Mapping[str, Any]
) -> Subscription:
    """Change what a subscription has, not its state.

    Raises:
        Conflict: something moved meanwhile.
        StorageUnavailable.
    """
    entry = await _entry(broker, principal, found, verb)
    return await _write(broker, _Writing(found, values, False, (entry,), broker.now()))


async def _entry(broker: Broker, principal: Principal, found: Parties, verb: str) -> Entry:
    return await broker.entry(
        f"person:subscription:{verb}",
        principal.actor,
        account_id=found.consumer.account_id,
        repository_id=found.consumer.id,
        details={"service": found.service.id, "subscription": found.id},
    )


async def _write(broker: Broker, writing: _Writing) -> Subscription:
    written = await broker.database.write(_apply, writing)
    if written is None:
        raise Conflict(
            f"{writing.parties.name} or {writing.parties.full_name} changed at this moment: try "
            "again."
        )
    return written


def _apply(connection: Connection, rows: Sequence[_Writing]) -> list[Subscription | None]:
    return [_apply_one(connection, row) for row in rows]


def _apply_one(connection: Connection, row: _Writing) -> Subscription | None:
    """The subscription as it now stands; None: a fact that it was decided on has moved."""
    found = row.parties
    ends = {each.id: each.version for each in (found.provider, found.consumer)}
    service = {found.service.id: found.service.version}
    held = {found.row["id"]: found.row["version"]} if found.row is not None else {}
    stands = (
        versions.hold(connection, tables.repositories, ends, to_change=True)
        and versions.hold(connection, tables.services, service)
        and versions.hold(connection, tables.subscriptions, held, to_change=True)
    )
    if not stands:
        return None
    if found.row is not None:
        rows_of.change(connection, found.id, **row.values)
    elif not rows_of.add(connection, _fresh(row)):
        return None
    if row.enables:
        mirror.enable(connection, found.consumer.id, "consumer", row.now)
    for entry in row.entries:
        audit.record(connection, entry)
    return rows_of.by_id(connection, found.id)


def _fresh(row: _Writing) -> dict[str, Any]:
    found = row.parties
    return {
        "id": found.id,
        "service_id": found.service.id,
        "repository_id": found.consumer.id,
        "channel": found.channel,
        "version": 1,
        "created_at": row.now,
        **row.values,
    }


@dataclass(frozen=True, slots=True)
class _Expiring:
    subscription_id: str
    version: int
    entry: Entry


_PAGE = 500


async def expire(broker: Broker) -> int:
    """End the requests and invitations whose time is over, in pages; answers how many.

    Raises:
        StorageUnavailable.
    """
    total = 0
    while True:
        over = await broker.database.query(rows_of.expired, broker.now(), _PAGE)
        entries = await broker.entries([_expired(row) for row in over])
        expiring = tuple(
            _Expiring(row["id"], row["version"], entry)
            for row, entry in zip(over, entries, strict=True)
        )
        total += await broker.database.write(_expire, expiring) if expiring else 0
        if len(over) < _PAGE:
            return total


def _expired(row: RowMapping) -> Entry:
    return Entry(
        verb="zekt:subscription:expired",
        actor=SYSTEM,
        account_id=row["consumer_account_id"],
        repository_id=row["repository_id"],
        details={"service": row["service_id"], "subscription": row["id"]},
    )


def _expire(connection: Connection, rows: Sequence[tuple[_Expiring, ...]]) -> list[int]:
    return [sum(_expire_one(connection, each) for each in page) for page in rows]


def _expire_one(connection: Connection, row: _Expiring) -> bool:
    held = {row.subscription_id: row.version}
    if not versions.hold(connection, tables.subscriptions, held, to_change=True):
        return False
    rows_of.change(connection, row.subscription_id, state="ended", expires_at=None)
    audit.record(connection, row.entry)
    return True
