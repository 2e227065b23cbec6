"""Consent that was taken back and did not return: what is kept of it is purged."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from zekt_bot.db import erasure, lapses
from zekt_bot.db.erasure import Part
from zekt_bot.db.lapses import Ending, Unused
from zekt_bot.domain.audit import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.lapses import Lapsed
    from zekt_bot.operations.broker import Broker

_PAGE = 50
_PART = 200
_EVER = datetime.fromtimestamp(0, UTC)
_log = structlog.get_logger()


async def purge(broker: Broker, stopped: Callable[[], bool] = lambda: False) -> int:
    """Note whose consent is gone, and erase those who are gone too long; answers how many.

    A repository whose App was uninstalled or suspended, that was taken out of the installation,
    deleted or archived, comes back as it was within `ZEKT_WITHDRAWN_DAYS`. After that it takes part
    no longer, and its events, messages, deliveries, services and subscriptions are deleted in
    small batches. If this process dies, the next one goes on.

    Raises:
        StorageUnavailable.
    """
    now = broker.now()
    await broker.database.write(lapses.note, now)
    if not broker.settings.withdrawn_days:
        return 0
    before = now - timedelta(days=broker.settings.withdrawn_days)
    purged = after = 0
    while page := await broker.database.query(lapses.lapsed, before, after, _PAGE):
        for each in page:
            if stopped():
                return purged
            purged += await _purge(broker, each, before)
        after = page[-1].id
    await _drop_unused(broker, Unused(before, _PART), stopped)
    return purged


async def finish(broker: Broker, stopped: Callable[[], bool] = lambda: False) -> int:
    """Purge those whose purge has begun, by their people or by a process that died.

    Raises:
        StorageUnavailable.
    """
    purged = 0
    while page := await broker.database.query(lapses.unfinished, _PAGE):
        for each in page:
            if stopped():
                return purged
            purged += await _purge(broker, each, _EVER)
    return purged


async def _drop_unused(broker: Broker, unused: Unused, stopped: Callable[[], bool]) -> None:
    dropped = _PART
    while dropped == _PART and not stopped():
        dropped = await broker.database.write(lapses.drop_unused, unused, weight=_PART)


async def _purge(broker: Broker, one: Lapsed, before: datetime) -> bool:
    """False: its consent came back meanwhile."""
    entry = await broker.entry(
        "zekt:repository:purged", SYSTEM, account_id=one.account_id, repository_id=one.id
    )
    since = await broker.database.write(lapses.end, Ending(one, before, broker.now(), entry))
    if since is None:
        return False
    gone, part = False, Part(one.account_id, _PART, one.id, since)
    while not gone:
        await _drop_read(broker, erasure.webhooks_of, erasure.drop_received, part)
        for drop in erasure.PARTS:
            while await broker.database.write(drop, part, weight=_PART):
                pass
        # After the subscriptions, of which more would be made.
        await _drop_read(broker, erasure.sent_to, erasure.drop_sent, part)
        gone = await broker.database.write(lapses.forget, replace(part, limit=1))
    _log.info("repository.purged", repository_id=one.id)
    return True


async def _drop_read(
    broker: Broker,
    find: Callable[[Connection, Part], list[tuple[str, datetime]]],
    drop: Callable[[Connection, Sequence[Sequence[str]]], Sequence[None]],
    part: Part,
) -> None:
    """Look for them as a reader does, on whom no webhook waits; only the deletion is written."""
    since = _EVER
    while page := await broker.database.query(find, replace(part, since=since)):
        await broker.database.write(drop, [each for each, _ in page], weight=len(page))
        since = page[-1][1]
