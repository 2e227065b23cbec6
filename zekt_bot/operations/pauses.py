"""Putting sending on hold, and letting it go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import mirror, pauses, subscriptions
from zekt_bot.domain import pauses as subjects
from zekt_bot.domain.access import decide
from zekt_bot.domain.names import check_login
from zekt_bot.errors import InvalidInput, NotFound
from zekt_bot.operations import services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.pauses import Subject
    from zekt_bot.operations.broker import Broker


@dataclass(frozen=True, slots=True)
class Target:
    """An account by login, a service by OWNER/SLUG or a subscription by id; none: everything."""

    account: str | None = None
    service: str | None = None
    subscription: str | None = None


async def pause(broker: Broker, principal: Principal, target: Target) -> bool:
    """Let deliveries wait, new ones too; events go on coming in. False: they do already.

    Raises:
        AccessDenied, InvalidInput, NotFound, StorageUnavailable.
    """
    decide(principal, "sending:pause")
    subject, now = await _subject(broker, target), broker.now()
    entry = await broker.entry("person:sending:paused", principal.actor, details=_details(subject))
    row = {"subject": subject, "by": principal.actor, "at": now}
    return await broker.database.write(pauses.begin, (row, entry))


async def resume(broker: Broker, principal: Principal, target: Target) -> int | None:
    """Let deliveries go on; answers how many had waited. None: it was not on hold.

    Raises:
        AccessDenied, InvalidInput, NotFound, StorageUnavailable.
    """
    decide(principal, "sending:pause")
    subject, now = await _subject(broker, target), broker.now()
    entry = await broker.entry("person:sending:resumed", principal.actor, details=_details(subject))
    if not await broker.database.write(pauses.end, (subject, now, entry)):
        return None
    return await _give_back(broker, subject)


async def finish(broker: Broker) -> int:
    """Give back what a process that died while resuming left waiting; answers how many."""
    return sum([await _give_back(broker, each) for each in await _ended(broker)])


async def list_pauses(broker: Broker, principal: Principal) -> list[Mapping[str, Any]]:
    """What is on hold, the longest first: `subject`, `kind`, `name`, `by`, `at`.

    Raises:
        AccessDenied, StorageUnavailable.
    """
    decide(principal, "sending:pause")
    return await broker.database.query(pauses.listed)


async def _ended(broker: Broker) -> list[Subject]:
    return await broker.database.query(pauses.ended)


async def _give_back(broker: Broker, subject: Subject) -> int:
    """In pages, so that nobody else's writes wait long."""
    total = 0
    while given := await broker.database.write(pauses.give_back, (subject, broker.now())):
        total += given
    return total


def _details(subject: Subject) -> dict[str, str | int]:
    return {"subject": subject}


async def _subject(broker: Broker, target: Target) -> Subject:
    named = (target.account, target.service, target.subscription)
    if sum(each is not None for each in named) > 1:
        raise InvalidInput("Name one: an account, a service or a subscription; none: everything.")
    if target.account is not None:
        login = check_login(target.account)
        account = await broker.database.query(mirror.account_by_login, login)
        if account is None:
            raise NotFound(f"Zekt has not heard of the account {target.account}.")
        return subjects.account(account.id)
    if target.service is not None:
        return subjects.service((await services.find(broker, target.service)).id)
    if target.subscription is not None:
        found = await broker.database.query(subscriptions.by_id, target.subscription)
        if found is None:
            raise NotFound(
                f"There is no subscription {target.subscription}: see `zekt subscriptions list`."
            )
        return subjects.subscription(found.id)
    return subjects.EVERYTHING
