"""What is done from time to time, by one process of the cluster each time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from zekt_bot.db import chores, lanes
from zekt_bot.operations import (
    badges,
    lapses,
    ordering,
    pauses,
    reconciliation,
    replay,
    resting_services,
    retention,
    sessions,
    subscription_moves,
    unproven,
)
from zekt_bot.pipeline import missed_webhooks, recovery
from zekt_bot.pipeline.missed_runs import MissedRuns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from zekt_bot.operations.broker import Broker

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_AT_START = _MINUTE  # processes that start together look for missed webhooks once


class Chore(NamedTuple):
    """Periodic work. It ends early when it is told to stop, and goes on the next time."""

    name: str
    every: timedelta
    work: Callable[[], Awaitable[None]]


class Chores:
    """All of them."""

    def __init__(self, broker: Broker, stopped: Callable[[], bool]) -> None:
        """Begin nothing yet."""
        self._broker, self._stopped = broker, stopped
        self._missed_runs = MissedRuns(broker)

    @property
    def every(self) -> Sequence[Chore]:
        """Each with how often it is done."""
        return (
            Chore("lanes", _MINUTE, self._sweep),
            Chore("replays", _MINUTE, self._finish),
            Chore("workflows", _HOUR, self._look),
            Chore("badges", _MINUTE, self._ask),
            Chore("retention", _HOUR, self._purge),
            Chore(recovery.CHORE, recovery.EVERY, self._recover),
        )

    async def begin(self) -> None:
        """At a start there may be something to make up for."""
        now = self._broker.now()
        just_done = now + recovery.EVERY - _AT_START
        await self._broker.database.write(chores.hasten, (recovery.CHORE, now, just_done))

    async def _sweep(self) -> None:
        await self._broker.database.write(lanes.sweep, self._broker.now())
        await pauses.finish(self._broker)
        await unproven.send_again(self._broker, self._stopped)
        await ordering.look(self._broker, self._stopped)
        await subscription_moves.expire(self._broker)

    async def _finish(self) -> None:
        await replay.finish(self._broker, self._stopped)
        await lapses.finish(self._broker, self._stopped)

    async def _purge(self) -> None:
        await sessions.clear(self._broker, self._stopped)
        await retention.purge(self._broker, self._stopped)
        await lapses.purge(self._broker, self._stopped)

    async def _look(self) -> None:
        await reconciliation.reconcile(self._broker, self._stopped)
        await resting_services.look(self._broker, self._stopped)

    async def _ask(self) -> None:
        await badges.look(self._broker, self._stopped)

    async def _recover(self) -> None:
        await missed_webhooks.recover(self._broker, self._stopped)
        if not self._stopped():
            await self._missed_runs.recover(self._stopped)
