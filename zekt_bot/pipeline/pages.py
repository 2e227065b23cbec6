"""A page of rows: facts read for all at once, each row decided and written for itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from zekt_bot.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy import Connection

    from zekt_bot.operations.broker import Broker

Facts = TypeVar("Facts")
_TRIES = 8


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
