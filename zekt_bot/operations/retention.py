"""Retention: deleting by age what the settings no longer keep."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from zekt_bot.db.retention import STEPS, Batch

if TYPE_CHECKING:
    from collections.abc import Callable

    from zekt_bot.config import Settings
    from zekt_bot.operations.broker import Broker

# GitHub redelivers what is up to 3 days old, an Enterprise Server 7: so long an id is known.
INBOX_DAYS = 8
# Who came back too late is told so; nothing else needs what has run out.
ENDED_DAYS = 1
_BATCH = 200
_log = structlog.get_logger()


def days(settings: Settings) -> dict[str, int]:
    """How long each step of `db/retention.py` leaves rows alone; 0: for ever.

    What may still be found at GitHub stays known, or it would be taken in anew as missed.
    """
    found = max(INBOX_DAYS, math.ceil(settings.recover_max_age / timedelta(days=1)) + 1)
    return {
        "attempts": settings.attempt_days,
        "blocked_deliveries": settings.blocked_days,
        "deliveries": settings.delivery_days,
        "payloads": settings.payload_days,
        "unsent_messages": settings.payload_days,
        "blocked_envelopes": settings.blocked_days,
        "envelopes": settings.event_days,
        "blocked_runs": _at_least(found, settings.blocked_days),
        "runs_set_aside": _at_least(found, settings.blocked_days),
        "runs": _at_least(found, settings.event_days),
        "webhooks": INBOX_DAYS,
        "webhooks_set_aside": _at_least(INBOX_DAYS, settings.blocked_days),
        "subscriptions": settings.withdrawn_days,
        "replays": settings.delivery_days,
        "refused_messages": settings.blocked_days,
        "usage": settings.event_days,
        "sessions": settings.ended_session_days,
        "web_states": ENDED_DAYS,
        "audit": settings.audit_days,
    }


def _at_least(least: int, kept: int) -> int:
    return max(least, kept) if kept else 0


async def purge(broker: Broker, stopping: Callable[[], bool]) -> dict[str, int]:
    """Delete what is too old, until `stopping`; answers how many batches each step took.

    Batches are small, and each is a transaction that waits its turn among webhooks.

    Raises:
        StorageUnavailable.
    """
    kept, done = days(broker.settings), {}
    for name in STEPS:
        batches = await _step(broker, name, kept[name], stopping) if kept[name] else 0
        if batches:
            done[name] = batches
    if done:
        _log.info("retention.deleted", **done)
    return done


async def _step(broker: Broker, name: str, kept: int, stopping: Callable[[], bool]) -> int:
    batches, now = 0, broker.now()
    batch = Batch(now - timedelta(days=kept), now, _BATCH)
    while not stopping():
        deleted = await broker.database.write(STEPS[name], batch, weight=_BATCH)
        batches += bool(deleted)
        if deleted < _BATCH:
            break
    return batches
