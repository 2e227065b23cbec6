"""A page of rows: read and written all at once, and each row decided and failing for itself.

A row that fails is tried again, and set aside the fifth time; its neighbours go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

import structlog

from zekt_bot.db import leases
from zekt_bot.domain.audit import SYSTEM
from zekt_bot.errors import Conflict, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from zekt_bot.operations.broker import Broker

Facts = TypeVar("Facts")
Decision = TypeVar("Decision")
MOST_FAILURES = 5
_TRIES = 8
_HELD_BACK = 0.05  # seconds that a decision may wait for its neighbours'
_AFTER_FAILURE = timedelta(seconds=30)
_AFTER_CONFLICT = timedelta(seconds=1)
_NOUNS = {"runs": "run", "envelopes": "envelope"}
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Step(Generic[Facts, Decision]):
    """What is done with a page of rows.

    `read` gives the facts of those that need something, `decide` a row's decision. `apply` writes
    decisions; False: the facts have moved, and nothing was written. `tell` logs one that is
    written, `weigh` says how many rows of the database one makes.
    """

    read: Callable[[Connection, Sequence[str]], dict[str, Facts]]
    decide: Callable[[Broker, Facts], Awaitable[Decision]]
    apply: Callable[[Connection, Sequence[Decision]], Sequence[bool]]
    tell: Callable[[Decision], None]
    weigh: Callable[[Decision], int] = lambda _: 1


async def each(
    broker: Broker, ids: Sequence[str], step: Step[Facts, Decision]
) -> dict[str, Exception]:
    """Take a step with these rows, in their order; answers the rows that failed, and why.

    Those whose facts moved are read anew and decided again, all together.
    """
    failed: dict[str, Exception] = {}
    left = list(ids)
    for tried in range(_TRIES):
        try:
            facts = await broker.database.query(step.read, left)
        except Exception as error:
            if not tried:
                raise
            return failed | dict.fromkeys(left, error)
        there = [(row_id, facts[row_id]) for row_id in left if row_id in facts]
        left = []
        async for decided in _decided(broker, there, step, failed):
            left += await _written(broker, decided, step, failed)
        if not left:
            return failed
    moved = Conflict("Its facts changed faster than it could be decided.")
    return failed | dict.fromkeys(left, moved)


async def _decided(
    broker: Broker,
    there: Sequence[tuple[str, Facts]],
    step: Step[Facts, Decision],
    failed: dict[str, Exception],
) -> AsyncIterator[dict[str, Decision]]:
    """Decisions to be written together, one made after the other: built-ins make a page at once.

    What others take their time for is written meanwhile.
    """
    decided: dict[str, Decision] = {}
    began = broker.clock.monotonic()
    for row_id, known in there:
        try:
            decided[row_id] = await step.decide(broker, known)
        except Exception as error:
            failed[row_id] = error
        if broker.clock.monotonic() - began > _HELD_BACK:
            yield decided
            decided, began = {}, broker.clock.monotonic()
    yield decided


async def _written(
    broker: Broker,
    decided: Mapping[str, Decision],
    step: Step[Facts, Decision],
    failed: dict[str, Exception],
) -> list[str]:
    """Answers those whose facts have moved."""
    rows = [(decision, step.weigh(decision)) for decision in decided.values()]
    try:
        answers = await broker.database.write_all(step.apply, rows)
    except StorageUnavailable as error:
        answers = [error] * len(rows)
    moved = []
    for (row_id, decision), answer in zip(decided.items(), answers, strict=True):
        if isinstance(answer, Exception):
            failed[row_id] = answer
        elif answer:
            step.tell(decision)
        else:
            moved.append(row_id)
    return moved


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
