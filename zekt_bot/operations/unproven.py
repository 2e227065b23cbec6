"""What a durable subscription is sent again, because no run of its consumer confirmed it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from zekt_bot.db import unproven as rows_of
from zekt_bot.db.unproven import Answer
from zekt_bot.domain.audit import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from zekt_bot.db.unproven import Unproven
    from zekt_bot.operations.broker import Broker

_log = structlog.get_logger()


async def send_again(broker: Broker, stopped: Callable[[], bool] = lambda: False) -> int:
    """Make due once more what nobody confirmed in time, or give it up; answers how many.

    It takes its turn in its lane, and the policy is asked again before the POST. A run that it
    probably led to is answer enough: it rests as it is. While what GitHub sent is missing, as after
    an outage, nobody can say that no run confirmed it: that is read first.

    Raises:
        StorageUnavailable.
    """
    until = await broker.database.query(rows_of.heard, broker.now())
    moved, last = 0, until is None
    while not (last or stopped()):
        page = await broker.database.query(rows_of.overdue, until)
        answers = await asyncio.gather(*(_answer(broker, each, broker.now()) for each in page))
        moved, last = moved + sum(answers), len(page) < rows_of.PAGE
    return moved


async def _answer(broker: Broker, each: Unproven, now: datetime) -> bool:
    """Whether it was moved."""
    to = _next(each)
    verb = "unconfirmed" if to == "pending" else "dead"
    entry = await broker.entry(
        f"zekt:delivery:{verb}",
        SYSTEM,
        correlation_id=each.correlation_id,
        delivery_id=each.id,
        account_id=each.account_id,
        repository_id=each.repository_id,
        details={"reason": "unconfirmed", "sends": each.sends},
    )
    answer = Answer(each, to, now, entry if to else None)
    if not await broker.database.write(rows_of.answer, answer) or to is None:
        return False
    _log.info("delivery.unconfirmed", delivery_id=each.id, sends=each.sends, state=to)
    return True


def _next(each: Unproven) -> str | None:
    if each.durable is None or each.guessed:
        return None
    return "pending" if each.sends < each.durable.sends else "dead"
