"""Ordered subscriptions: switching it on and off, and what went past its time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from zekt_bot.db import sequences
from zekt_bot.domain.subscriptions import REPOSITORY_DISPATCH, check_ordered
from zekt_bot.errors import InvalidInput
from zekt_bot.operations.durability import check_proof
from zekt_bot.operations.subscription_moves import change
from zekt_bot.operations.subscription_parties import parties

if TYPE_CHECKING:
    from collections.abc import Callable

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.subscriptions import Ordered, Subscription
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.subscription_parties import Named

_FORCED = "the next waits as long as set, after each, whatever its runs do."
_PAGE = 64  # of one commit


async def make_ordered(
    broker: Broker,
    principal: Principal,
    named: Named,
    ordered: Ordered | None,
    *,
    force: bool = False,
) -> Subscription:
    """Send one after the other, or (None) as they come.

    What waits already goes by the new terms within a minute. `force` asks nobody whether the end of
    a run could be known.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is over; or the end of no run of the consumer would be known.
    """
    found = await parties(broker, principal, "subscription:configure", named)
    found.alive()
    values: dict[str, Any] = dict.fromkeys(("ordered_by", "ordered_within", "ordered_stops"))
    if ordered is not None:
        check_ordered(ordered)
        if ordered.by == "ended" and found.channel != REPOSITORY_DISPATCH:
            raise InvalidInput(f"What {found.channel} takes starts no run whose end one could see.")
        if ordered.by == "ended" and not force:
            await check_proof(broker, principal, found, _FORCED)
        values = {
            "ordered_by": ordered.by,
            "ordered_within": int(ordered.within.total_seconds()),
            "ordered_stops": ordered.stops,
        }
    return await change(broker, principal, found, "configured", values)


async def look(broker: Broker, stopped: Callable[[], bool] = lambda: False) -> None:
    """Let the next go where a run was waited for long enough, or the terms have changed.

    Raises:
        StorageUnavailable.
    """
    keys = await broker.database.query(sequences.open_ones)
    for start in range(0, len(keys), _PAGE):
        if stopped():
            return
        rows = [(key, broker.now()) for key in keys[start : start + _PAGE]]
        await asyncio.gather(*(broker.database.write(sequences.look, row) for row in rows))
