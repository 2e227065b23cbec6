"""Reading messages: those that were stored and those that were not, and what became of one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from zekt_bot.db import refusals
from zekt_bot.db.lists import messages
from zekt_bot.domain.access import Resource
from zekt_bot.domain.lists import MOST_ROWS, MessageFilter, Page
from zekt_bot.errors import Conflict, NotFound
from zekt_bot.operations import guarding
from zekt_bot.operations.deliveries import held_up
from zekt_bot.operations.visibility import PagedList, may_show, shown

if TYPE_CHECKING:
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

FIRST_PAGE = Page()
EVERYTHING = MessageFilter()
_MESSAGES = PagedList("message:read", "msg", messages.page)
_REFUSED = PagedList("message:read", "ref", refusals.page)


async def list_messages(
    broker: Broker,
    principal: Principal,
    page: Page = FIRST_PAGE,
    wanted: MessageFilter = EVERYTHING,
) -> list[dict[str, Any]]:
    """Messages without their bodies, newest first.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    return await _MESSAGES.read(broker, principal, page, wanted)


async def list_refused(
    broker: Broker,
    principal: Principal,
    page: Page = FIRST_PAGE,
    wanted: MessageFilter = EVERYTHING,
) -> list[dict[str, Any]]:
    """Messages that were not taken, each run's once for each reason, newest first.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    return await _REFUSED.read(broker, principal, page, wanted)


async def show_message(
    broker: Broker, principal: Principal, message_id: str, *, body: bool = False
) -> dict[str, Any]:
    """One message, by its id or that of its event; with its `body`, a text of JSON, if asked for.

    `sent_on_at`: when it went on with its run (None: it waits for that); `deliveries` what was made
    of it, the first 1,000; `filtered` how many subscriptions' filters kept it away.

    Raises:
        AccessDenied, NotFound, GitHubError, StorageUnavailable, DecryptionFailed.
    """
    found = await broker.database.query(messages.one, message_id)
    provider = found["repository_id"] if found else None
    await may_show(broker, principal, "message:read", Resource(provider=provider))
    if found is None:
        raise NotFound(f"There is no message {message_id}: see `zekt messages list`.")
    keyring = broker.database.keyring
    told = {
        **shown(found),
        "redactions": [asdict(each) for each in guarding.opened(keyring, found)],
        "deliveries": [
            {**shown(row), **held_up(row, broker.now())}
            for row in await broker.database.query(messages.sent, found["envelope_id"], MOST_ROWS)
        ],
    }
    if not body:
        return told
    if found["body_gone_at"] is not None:
        raise Conflict(f"The body of {found['id']} was deleted by age (ZEKT_PAYLOAD_DAYS).")
    opened = keyring.open(("messages", "body", found["id"]), found["body"])
    return {**told, "body": opened.decode()}
