"""How a subscription moves: by the table of moves, in one unit for row and audit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from zekt_bot.db import audit, mirror, tables, usage, versions
from zekt_bot.db import subscriptions as rows_of
from zekt_bot.domain.audit import SYSTEM, Entry
from zekt_bot.domain.subscriptions import SUBSCRIPTION_MOVES, Subscription
from zekt_bot.errors import Conflict, QuotaExceeded
from zekt_bot.operations.repositories import check_not_purged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.subscriptions import Verb
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
    room: _Room | None = None


@dataclass(frozen=True, slots=True)
class _Room:
    """As many subscriptions as one account may have; `refusal` is told when there are no more."""

    most: int
    refusal: Entry


async def move(
    broker: Broker, principal: Principal, found: Parties, changed: Changed
) -> Subscription:
    """Do what the verb says, if the table of moves lets it.

    Raises:
        NotFound: there is no subscription to do it to.
        Conflict: it does not, something moved meanwhile, or an end is just being purged.
        QuotaExceeded: the consumer's account has as many subscriptions as it may.
        StorageUnavailable.
    """
    held = found.held
    state = held.state if held else None
    sources, to = SUBSCRIPTION_MOVES[changed.verb]
    anew = changed.verb == "request" and found.outlived
    asks = changed.verb in {"request", "invite"}
    if state not in sources and not anew:
        if held is None:
            raise found.without()
        # What is alive needs no asking.
        refused = "already" if asks or state == to else f"and cannot become {to}"
        raise Conflict(
            f"The subscription of {found.full_name} to {found.name} is {state} {refused}."
        )
    if changed.enables:
        check_not_purged(found.consumer)
    if asks and found.provider.purging:
        raise Conflict(f"{found.name} is just being deleted.")
    values = {"state": to, **changed.values}
    entry = await _entry(broker, principal, found, PAST[changed.verb])
    entries = (entry, *changed.also)
    writing = _Writing(found, values, changed.enables, entries, broker.now())
    most = broker.settings.quota.subscriptions
    if changed.enables and most:
        writing = replace(writing, room=_Room(most, await _refusal(broker, principal, found)))
    return await _write(broker, writing)


async def _refusal(broker: Broker, principal: Principal, found: Parties) -> Entry:
    entry = await _entry(broker, principal, found, "refused")
    return replace(entry, details={**(entry.details or {}), "reason": "quota"})


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
    if written == "over_quota":
        raise QuotaExceeded(
            f"The account of {writing.parties.full_name} has as many subscriptions as this server "
            "gives one account: end one first."
        )
    if written is None:
        raise Conflict(
            f"{writing.parties.name} or {writing.parties.full_name} changed at this moment: try "
            "again."
        )
    return written


_Written = Subscription | Literal["over_quota"] | None


def _apply(connection: Connection, rows: Sequence[_Writing]) -> list[_Written]:
    return [_apply_one(connection, row) for row in rows]


def _apply_one(connection: Connection, row: _Writing) -> _Written:
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
    if row.room and not _has_room(connection, row, row.room):
        return "over_quota"
    if found.row is not None:
        rows_of.change(connection, found.id, **row.values)
    elif not rows_of.add(connection, _fresh(row)):
        return None
    if row.enables:
        mirror.enable(connection, found.consumer.id, "consumer", row.now)
    for entry in row.entries:
        audit.record(connection, entry)
    return rows_of.by_id(connection, found.id)


def _has_room(connection: Connection, row: _Writing, room: _Room) -> bool:
    """Nobody else of the account counts meanwhile; the one that is asked for again counts once."""
    account_id = row.parties.consumer.account_id
    usage.hold(connection, account_id, row.now)
    if usage.subscribed(connection, account_id, row.parties.id) < room.most:
        return True
    if usage.tell(connection, account_id, row.now):
        audit.record(connection, room.refusal)
    return False


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
