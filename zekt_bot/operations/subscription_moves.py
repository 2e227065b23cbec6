"""How a subscription moves: who stands at its two ends, and one unit for row and audit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import audit, mirror, tables, usage, versions
from zekt_bot.db import subscriptions as rows_of
from zekt_bot.db.rows import subscription_of
from zekt_bot.domain.access import Person
from zekt_bot.domain.audit import Entry
from zekt_bot.domain.catalog import check_full_name
from zekt_bot.domain.ids import new_id
from zekt_bot.domain.subscriptions import (
    REPOSITORY_DISPATCH,
    SUBSCRIPTION_MOVES,
    Subscription,
)
from zekt_bot.errors import AccessDenied, Conflict, NotFound, QuotaExceeded
from zekt_bot.operations import access, services
from zekt_bot.operations.broker import SYSTEM
from zekt_bot.operations.installations import not_shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, RowMapping

    from zekt_bot.domain.access import Action, Principal
    from zekt_bot.domain.catalog import Repository, Service
    from zekt_bot.domain.subscriptions import Verb
    from zekt_bot.operations.broker import Broker

# What must be true at GitHub when it is said; the rest is possible without GitHub too.
_FRESH = {"subscription:request", "subscription:invite", "subscription:accept"}
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
class Parties:
    """A service and a repository, with what there is between them on a channel."""

    name: str
    full_name: str
    service: Service
    provider: Repository
    consumer: Repository
    channel: str
    row: RowMapping | None
    id: str

    @property
    def held(self) -> Subscription | None:
        """The subscription, if there is one."""
        return subscription_of(self.row) if self.row is not None else None

    def alive(self) -> Subscription:
        """The subscription, which is not over.

        Raises:
            NotFound: there never was one.
            Conflict: it is over.
        """
        held = self.held
        if held is None:
            raise self.without()
        if held.state not in {"requested", "invited", "approved"}:
            raise Conflict(f"The subscription of {self.full_name} to {self.name} is {held.state}.")
        return held

    def approved(self) -> Subscription:
        """The subscription, which is approved.

        Raises:
            Conflict: it is not.
        """
        held = self.alive()
        if held.state != "approved":
            raise Conflict(f"The subscription of {self.full_name} to {self.name} is {held.state}.")
        return held

    @property
    def outlived(self) -> bool:
        """Whether it was requested for a former owner of the consumer, or it takes no part now."""
        if self.row is None or self.row["state"] != "requested":
            return False
        asked_for = self.row["requested_account_id"]
        return not self.consumer.consumer or asked_for != self.consumer.account_id

    def without(self) -> NotFound:
        """There is no subscription."""
        return _nothing(self.name, self.full_name)

    async def managed(self, broker: Broker, principal: Principal) -> bool:
        """Whether it is no secret to them what this service is: it is theirs, or all is."""
        if not isinstance(principal, Person):
            return True
        return self.provider.id in await access.manages(broker, principal, [self.provider])


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


async def parties(  # noqa: PLR0913, PLR0917 - a subscription's key, and who wants what of it
    broker: Broker,
    principal: Principal,
    action: Action,
    name: str,
    full_name: str,
    channel: str = REPOSITORY_DISPATCH,
) -> Parties:
    """Both ends, for whoever may do `action` between them.

    Raises:
        AccessDenied, InvalidInput, GitHubError, StorageUnavailable.
        NotAdmitted: the consumer's account is not; a person hears NotFound.
        NotFound: one of them is not there, or must not be seen.
    """
    access.refuse_runs(principal, action)
    check_full_name(full_name)
    service = await services.find(broker, name)
    if action in _FRESH:
        try:
            consumer = await access.at_github(broker, principal, full_name)
        except (NotFound, Conflict):
            await services.check_visible(broker, principal, service, name)
            raise
    else:
        known = await broker.database.query(mirror.repository_by_name, full_name)
        if known is None:
            await services.check_visible(broker, principal, service, name)
            raise _nothing(name, full_name)
        consumer = known
    owners = await broker.database.query(mirror.repositories_by_id, [service.repository_id])
    row = await broker.database.query(rows_of.found, service.id, consumer.id, channel)
    found = Parties(
        name=name,
        full_name=full_name,
        service=service,
        provider=owners[service.repository_id],
        consumer=consumer,
        channel=channel,
        row=row,
        id=row["id"] if row is not None else new_id("sub", broker.now()),
    )
    await _check(broker, principal, action, found)
    return found


async def _check(broker: Broker, principal: Principal, action: Action, found: Parties) -> None:
    if found.row is not None:
        await _check_known(broker, principal, found)
    try:
        await access.check(
            broker, principal, action, provider=found.provider, consumer=found.consumer
        )
    except AccessDenied:
        party = found.row is not None and await found.managed(broker, principal)
        if found.row is None:
            await services.check_visible(broker, principal, found.service, found.name)
        if not party and not await access.sees(broker, principal, found.consumer):
            raise _unseen(action, found) from None
        raise
    if (
        found.row is None
        and action not in _FRESH
        and not await access.sees(broker, principal, found.consumer)
    ):
        raise _unseen(action, found)
    if found.row is None:
        await services.check_visible(broker, principal, found.service, found.name, found.consumer)


async def _check_known(broker: Broker, principal: Principal, found: Parties) -> None:
    """Raise NotFound for who may not know, under this name, of a service that has a subscription.

    Its consumer knows it, but not who hides behind its alias.
    """
    if isinstance(principal, Person) and not services.findable(found.service, found.name):
        managed = await access.manages(broker, principal, [found.provider, found.consumer])
        consuming = found.consumer.id in managed and services.is_its_name(found.service, found.name)
        if found.provider.id not in managed and not consuming:
            raise services.no_service(found.name)


def _unseen(action: Action, found: Parties) -> NotFound:
    """What is said too where there is no such repository."""
    if action in _FRESH:
        return not_shown(found.full_name)
    return _nothing(found.name, found.full_name)


def _nothing(name: str, full_name: str) -> NotFound:
    return NotFound(f"{full_name} has no subscription to {name} yet: request it first.")


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
