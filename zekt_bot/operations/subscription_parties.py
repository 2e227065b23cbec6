"""Who stands at the two ends of a subscription, for whoever may act between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zekt_bot.db import mirror
from zekt_bot.db import services as service_rows
from zekt_bot.db import subscriptions as rows_of
from zekt_bot.db.rows import subscription_of
from zekt_bot.domain.access import Person
from zekt_bot.domain.ids import new_id
from zekt_bot.domain.names import check_full_name
from zekt_bot.domain.subscriptions import REPOSITORY_DISPATCH
from zekt_bot.errors import AccessDenied, Conflict, NotFound
from zekt_bot.operations import access, services
from zekt_bot.operations.installations import not_shown

if TYPE_CHECKING:
    from sqlalchemy import Connection, RowMapping

    from zekt_bot.domain.access import Action, Principal
    from zekt_bot.domain.catalog import Repository, Service
    from zekt_bot.domain.subscriptions import Subscription
    from zekt_bot.operations.broker import Broker

# What must be true at GitHub when it is said; the rest is possible without GitHub too.
_FRESH = {"subscription:request", "subscription:invite", "subscription:accept"}


@dataclass(frozen=True, slots=True)
class Ends:
    """A subscription's name: OWNER/SLUG, OWNER/REPO, and the channel between them."""

    service: str
    repository: str
    channel: str = REPOSITORY_DISPATCH


# Once it is there, a subscription has an id too: it outlives the names.
Named = Ends | str


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
            NotFound: there never was one.
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


async def parties(broker: Broker, principal: Principal, action: Action, named: Named) -> Parties:
    """Both ends, for whoever may do `action` between them.

    Raises:
        AccessDenied, InvalidInput, GitHubError, StorageUnavailable.
        NotAdmitted: the consumer's account is not; a person hears NotFound.
        NotFound: one of them is not there, or must not be seen.
    """
    access.refuse_runs(principal, action)
    if isinstance(named, str):
        return await _by_id(broker, principal, action, named)
    found = await _by_ends(broker, principal, action, named)
    await _check(broker, principal, action, found)
    return found


def no_subscription(subscription_id: str) -> NotFound:
    """The same words for what is not there and for what is between others."""
    return NotFound(
        f"There is no subscription {subscription_id}: list them with `zekt subscriptions list`."
    )


async def _by_id(
    broker: Broker, principal: Principal, action: Action, subscription_id: str
) -> Parties:
    found = await broker.database.query(_known, subscription_id)
    ends = (found.provider, found.consumer)
    try:
        await access.check(
            broker, principal, action, provider=found.provider, consumer=found.consumer
        )
    except AccessDenied:
        if not await access.manages(broker, principal, ends):
            raise no_subscription(subscription_id) from None
        raise
    if action not in _FRESH:
        return found
    fresh = await access.at_github(broker, principal, found.full_name)
    if fresh.id != found.consumer.id:
        raise not_shown(found.full_name)
    return await broker.database.query(_known, subscription_id)


def _known(connection: Connection, subscription_id: str) -> Parties:
    row = rows_of.row(connection, subscription_id)
    if row is None:
        raise no_subscription(subscription_id)
    service = service_rows.by_id(connection, row["service_id"])
    assert service is not None, "a subscription refers to it"  # noqa: S101
    known = mirror.repositories_by_id(connection, [service.repository_id, row["repository_id"]])
    consumer = known[row["repository_id"]]
    return Parties(
        name=service.name,
        full_name=consumer.full_name,
        service=service,
        provider=known[service.repository_id],
        consumer=consumer,
        channel=row["channel"],
        row=row,
        id=row["id"],
    )


async def _by_ends(broker: Broker, principal: Principal, action: Action, named: Ends) -> Parties:
    name, full_name = named.service, check_full_name(named.repository)
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
    row = await broker.database.query(rows_of.found, service.id, consumer.id, named.channel)
    return Parties(
        name=name,
        full_name=full_name,
        service=service,
        provider=owners[service.repository_id],
        consumer=consumer,
        channel=named.channel,
        row=row,
        id=row["id"] if row is not None else new_id("sub", broker.now()),
    )


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
