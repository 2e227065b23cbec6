"""What is kept of an account's repositories, given to or deleted for those who manage them.

Whoever manages some of an account's repositories decides on these and on no others.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.db import audit, lapses, shield_keys, workflows
from zekt_bot.db import services as service_rows
from zekt_bot.db import subscriptions as subscription_rows
from zekt_bot.db.lapses import Deletion
from zekt_bot.db.lists import of_account
from zekt_bot.db.lists.of_account import Whose
from zekt_bot.domain.access import Resource, decide
from zekt_bot.domain.audit import Entry
from zekt_bot.errors import Conflict, InvalidInput, NotFound
from zekt_bot.operations import deliveries, guarding, my_repositories, subscription_lists
from zekt_bot.operations.service_facts import service_facts
from zekt_bot.operations.visibility import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy import Connection, RowMapping

    from zekt_bot.domain.access import Action
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.domain.sessions import Session
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.my_repositories import Owned

    Row = tuple[str, dict[str, Any]]

_PAGE = 200


async def mine(broker: Broker, session: Session, action: Action, login: str) -> Owned:
    """An account's repositories to which this person may do `action`.

    They are those that GitHub, asked with the person's own token, says that they manage: also where
    the orchestration App is gone, and could ask nothing any more.

    Raises:
        NotFound: they manage nothing of such an account, be there one or not.
        SessionEnded, AccessDenied, GitHubError, ConfigurationError, StorageUnavailable.
    """
    found = await my_repositories.listing(broker, session)
    owned = next((one for one in found.owned if one.account.login.lower() == login.lower()), None)
    if owned is None:
        raise NotFound(f"You manage no repository of {login} that Zekt knows.")
    managed = frozenset(each.id for each in owned.repositories)
    for each in owned.repositories:
        decide(session.person, action, Resource(provider=each.id), managed)
    return owned


async def export(broker: Broker, session: Session, login: str) -> AsyncIterator[dict[str, Any]]:
    """What is kept of the account's repositories that this person manages, each with its `record`.

    Messages with their bodies, and no other secret. Rows are read in pages and given as they are
    then; the first is the account's. Of what a hidden source sent there is no more than its
    consumers see anywhere.

    Raises:
        NotFound, SessionEnded, AccessDenied, GitHubError, ConfigurationError, StorageUnavailable.
        DecryptionFailed.
    """
    owned = await mine(broker, session, "repository:export", login)
    await broker.database.write(
        audit.record_all,
        await broker.entry(
            "person:account:exported", session.person.actor, account_id=owned.account.id
        ),
    )
    for parts in (_catalog, _runs, _deliveries):
        async for record, row in parts(broker, owned):
            yield {"record": record, **row}


async def _catalog(broker: Broker, owned: Owned) -> AsyncIterator[Row]:
    yield "account", asdict(owned.account)
    if owned.installation:
        yield "installation", asdict(owned.installation)
    for each in owned.repositories:
        yield "repository", {**asdict(each), "obstacle": each.obstacle}
        for entry in await broker.database.query(workflows.of_repository, each.id):
            yield "workflow", asdict(entry)
        own = [shield_keys.of_repository(each.id)]
        for key in await broker.database.query(shield_keys.page, _PAGE, "", own):
            yield "key", shown(key)
    for each in owned.repositories:
        async for service in _services(broker, each):
            yield "service", service
        async for subscription in _subscriptions(broker, owned, each):
            yield "subscription", subscription


async def _services(broker: Broker, repository: Repository) -> AsyncIterator[dict[str, Any]]:
    after = ""
    while page := await broker.database.query(
        service_rows.page, _PAGE, after, repository.id, False
    ):
        for each in page:
            yield service_facts(each, repository)
        after = page[-1].id


async def _subscriptions(
    broker: Broker, owned: Owned, repository: Repository
) -> AsyncIterator[dict[str, Any]]:
    """Of one repository at either end; between two of them it is given with the provider."""
    after, ids = "", {each.id for each in owned.repositories}
    while page := await broker.database.query(
        subscription_rows.page, (repository.id, None), (), after, _PAGE
    ):
        ends = await subscription_lists.repositories_of(broker, page)
        for row in page:
            if row["provider_id"] == repository.id or row["provider_id"] not in ids:
                yield subscription_lists.shown(row, ends, whole=row["provider_id"] in ids)
        after = page[-1]["id"]


async def _runs(broker: Broker, owned: Owned) -> AsyncIterator[Row]:
    for each in owned.repositories:
        whose = Whose(owned.account.id, (each.id,))
        async for row in _paged(broker, of_account.events, whose):
            yield "event", _plain(row)
        async for row in _paged(broker, of_account.told, whose):
            body, keyring = None, broker.database.keyring
            if row["body_gone_at"] is None:
                body = orjson.Fragment(keyring.open(("messages", "body", row["id"]), row["body"]))
            redactions = [asdict(each) for each in guarding.opened(keyring, row)]
            yield "message", {**_plain(row), "redactions": redactions, "body": body}


async def _deliveries(broker: Broker, owned: Owned) -> AsyncIterator[Row]:
    whose = Whose(owned.account.id, tuple(each.id for each in owned.repositories))
    async for row in _paged(broker, of_account.sent, whose):
        yield "delivery", _delivery(broker, row, whole=True)
    async for row in _paged(broker, of_account.received, whose):
        ours = row["provider_account_id"] == whose.account_id
        if not (ours and row["source_repository_id"] in whose.repositories):  # given already
            yield "delivery", _delivery(broker, row, whole=False)


def _delivery(broker: Broker, row: RowMapping, *, whole: bool) -> dict[str, Any]:
    told = deliveries.named(row, broker.now(), whole=whole)
    return {name: value for name, value in told.items() if name != "at"}


def _plain(row: RowMapping) -> dict[str, Any]:
    return {name: value for name, value in shown(row).items() if name != "at"}


async def _paged(
    broker: Broker,
    find: Callable[[Connection, Whose, RowMapping | None], list[RowMapping]],
    whose: Whose,
) -> AsyncIterator[RowMapping]:
    last = None
    while page := await broker.database.query(find, whose, last):
        for row in page:
            yield row
        last = page[-1]


async def delete(broker: Broker, session: Session, login: str, typed: str) -> int:
    """Delete what is kept of the account's repositories that this person manages; answers how many.

    They take part no longer from this moment. Their events, messages, deliveries, workflows,
    services and subscriptions go within minutes, and then they may begin anew. The audit stays.

    Raises:
        InvalidInput: `typed` is not the account's login.
        Conflict: one of them changed at this moment.
        NotFound, SessionEnded, AccessDenied, GitHubError, ConfigurationError, StorageUnavailable.
    """
    owned = await mine(broker, session, "repository:purge", login)
    if typed.lower() != owned.account.login.lower():
        raise InvalidInput(f"Type {owned.account.login}, the account whose data is deleted.")
    wanted = [each for each in owned.repositories if not each.purging]
    entries = [
        Entry(
            "person:repository:purged",
            session.person.actor,
            account_id=each.account_id,
            repository_id=each.id,
        )
        for each in wanted
    ]
    deletion = Deletion(
        {each.id: each.version for each in wanted}, await broker.entries(entries), broker.now()
    )
    if not await broker.database.write(lapses.begin, deletion, weight=len(wanted) or 1):
        raise Conflict(f"A repository of {owned.account.login} changed at this moment: try again.")
    return len(wanted)
