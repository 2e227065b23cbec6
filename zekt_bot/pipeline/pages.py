"""A page of rows: facts read for all at once, each row decided and written for itself.

A row that fails is tried again, and set aside the fifth time; its neighbours go on.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import structlog

from zekt_bot.db import leases
from zekt_bot.domain.audit import SYSTEM
from zekt_bot.errors import Conflict, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy import Connection

    from zekt_bot.operations.broker import Broker

Facts = TypeVar("Facts")
MOST_FAILURES = 5
_TRIES = 8
_AFTER_FAILURE = timedelta(seconds=30)
_AFTER_CONFLICT = timedelta(seconds=1)
_NOUNS = {"runs": "run", "envelopes": "envelope"}
_log = structlog.get_logger()


async def each(
    broker: Broker,
    ids: Sequence[str],
    read: Callable[[Connection, Sequence[str]], dict[str, Facts]],
    step: Callable[[Broker, Facts], Awaitable[bool]],
) -> dict[str, Exception]:
    """Run `step` on each row's facts; answers the rows that failed.

    A step that answers False found its facts moved: they are read anew and it is asked again. A
    row without facts needs nothing.
    """
    facts = await broker.database.query(read, ids)
    found = await asyncio.gather(
        *(_one(broker, row_id, facts[row_id], read, step) for row_id in ids if row_id in facts)
    )
    return {row_id: error for row_id, error in found if error is not None}


async def _one(
    broker: Broker,
    row_id: str,
    facts: Facts,
    read: Callable[[Connection, Sequence[str]], dict[str, Facts]],
    step: Callable[[Broker, Facts], Awaitable[bool]],
) -> tuple[str, Exception | None]:
    try:
        for _ in range(_TRIES):
            if await step(broker, facts):
                return row_id, None
            again = await broker.database.query(read, [row_id])
            if row_id not in again:
                return row_id, None
            facts = again[row_id]
    except Exception as error:
        return row_id, error
    return row_id, Conflict("Its facts changed faster than it could be decided.")


async def failed(broker: Broker, leased: tuple[str, str, str], error: Exception) -> None:
    """Try a leased row (its table, id and lease) again, or set it aside with its reason.

    Facts that moved too fast are nobody's failure: the row is just due again.

    Raises:
        StorageUnavailable: nothing was written; the lease runs out and the row is due again.
    """
    now, (table, row_id, lease) = broker.now(), leased
    if isinstance(error, StorageUnavailable):
        raise error
    if isinstance(error, Conflict):
        due = leases.Return(table, row_id, lease, now + _AFTER_CONFLICT)
        await broker.database.write(leases.give_back, due)
        return
    _log.error("worker.step_failed", queue=table, row=row_id, exc_info=error)
    reason = str(error)[:500] or type(error).__name__
    known = await broker.database.query(leases.standing, table, row_id)
    at, entry = now + _AFTER_FAILURE * 2**known.failures, None
    if known.failures + 1 >= MOST_FAILURES:
        noun = _NOUNS[table]
        entry = await broker.entry(
            f"zekt:{noun}:set_aside",
            SYSTEM,
            correlation_id=known.correlation_id,
            repository_id=known.repository_id,
            details={noun: row_id, "error": type(error).__name__},
        )
    again_at = None if entry else at
    failure = leases.Failure(table, row_id, lease, reason, again_at, entry)
    await broker.database.write(leases.fail, failure)
