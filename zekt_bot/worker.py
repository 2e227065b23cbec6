"""Leases due work and runs the pipeline's steps until told to stop.

Each queue has a loop of its own, so that a slow one holds up nobody else's. A loop that finds
nothing sleeps until a commit wakes it, until the next row is due, or for the polling interval.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.db import chores, deliveries, inbox, lanes, leases
from zekt_bot.db.lanes import LaneClaim
from zekt_bot.db.leases import Claim, Failure
from zekt_bot.domain.lanes import Pace
from zekt_bot.errors import StorageUnavailable
from zekt_bot.operations.broker import new_lease
from zekt_bot.pipeline.aggregate import aggregate
from zekt_bot.pipeline.deliver import deliver
from zekt_bot.pipeline.match import match
from zekt_bot.pipeline.route import MOST_FAILURES, build_router, route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from zekt_bot.db.deliveries import Work
    from zekt_bot.operations.broker import Broker

_PAGE = 64
_SENDERS = 64
_AFTER_FAILURE = timedelta(seconds=30)
_AFTER_OUTAGE = timedelta(seconds=1)
_APP_RETRY = timedelta(minutes=1)
_SWEEP_EVERY = timedelta(minutes=1)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a row is leased, and how often a quiet queue is looked at."""

    lease: timedelta = timedelta(seconds=60)
    poll: timedelta = timedelta(seconds=5)


@dataclass(slots=True)
class _Senders:
    """Deliveries being sent, by task."""

    tasks: dict[asyncio.Task[None], Work] = field(default_factory=dict)
    freed: asyncio.Event = field(default_factory=asyncio.Event)


class Worker:
    """One process's share of the work."""

    def __init__(self, broker: Broker, timing: Timing | None = None) -> None:
        """Begin nothing yet."""
        self._broker = broker
        self._timing = timing or Timing(lease=broker.settings.lease)
        self._router = build_router()
        settings = broker.settings
        self._pace = Pace(settings.lane_per_minute, settings.lane_burst, settings.lane_in_flight)
        self._senders = _Senders()
        self._stopping = asyncio.Event()
        self._app_paused: tuple[datetime, str] | None = None

    async def run(self) -> None:
        """Work until `stop` was called and what is in flight has ended, within the set time."""
        if self._broker.database.address.path:
            await self._broker.database.write(leases.release_all, self._broker.now())
        loops = [
            self._loop("inbox", self._route_page),
            self._loop("runs", lambda: self._page("runs", self._aggregate)),
            self._loop("envelopes", lambda: self._page("envelopes", self._match)),
            self._loop("deliveries", self._send_page),
            self._chores(),
        ]
        async with asyncio.TaskGroup() as group:
            for loop in loops:
                group.create_task(loop)
        await self._drain()

    def stop(self) -> None:
        """Take no more work."""
        self._stopping.set()

    async def _loop(self, topic: str, work: Callable[[], Awaitable[bool]]) -> None:
        woken = self._broker.database.subscribe(topic)

        async def turn() -> None:
            woken.clear()
            if not await work():
                await self._wait(woken, await self._next_due(topic))

        while not self._stopping.is_set():
            await self._survive(topic, turn)

    async def _survive(self, name: str, turn: Callable[[], Awaitable[None]]) -> None:
        """Whatever goes wrong in one turn, the next one may go well."""
        try:
            await turn()
        except Exception as error:
            if isinstance(error, StorageUnavailable):
                _log.warning("worker.storage_unavailable", queue=name, error=str(error))
            else:
                _log.exception("worker.failed", queue=name)
            await self._wait(asyncio.Event(), self._broker.now() + _AFTER_OUTAGE)

    async def _wait(self, event: asyncio.Event, until: datetime) -> None:
        """Until `event`, `until` or the stop, whichever comes first."""
        waits = [
            asyncio.create_task(event.wait()),
            asyncio.create_task(self._stopping.wait()),
            asyncio.create_task(self._broker.clock.sleep_until(until)),
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    async def _next_due(self, topic: str) -> datetime:
        latest = self._broker.now() + self._timing.poll
        due = await self._broker.database.query(leases.next_due, topic)
        return min(due, latest) if due else latest

    async def _claim(self, table: str) -> list[str]:
        now = self._broker.now()
        claim = Claim(table, now, now + self._timing.lease, new_lease(), _PAGE)
        return await self._broker.database.write(leases.claim, claim)

    async def _route_page(self) -> bool:
        ids = await self._claim("inbox")
        rows = await self._broker.database.query(inbox.load, ids) if ids else []
        await asyncio.gather(*(self._route(row) for row in rows))
        return bool(ids)

    async def _route(self, row: Any) -> None:
        with contextlib.suppress(StorageUnavailable):  # the lease runs out, the row is due again
            await route(self._broker, self._router, row)

    async def _page(
        self, table: str, step: Callable[[list[str]], Awaitable[dict[str, Exception]]]
    ) -> bool:
        ids = await self._claim(table)
        failed = await step(ids) if ids else {}
        await asyncio.gather(*(self._failed(table, *row) for row in failed.items()))
        return bool(ids)

    async def _failed(self, table: str, row_id: str, error: Exception) -> None:
        """A row that fails is tried again, then set aside; its neighbours go on."""
        if isinstance(error, StorageUnavailable):
            return  # the lease runs out, the row is due again
        _log.error("worker.step_failed", queue=table, row=row_id, exc_info=error)
        with contextlib.suppress(StorageUnavailable):
            failures = await self._broker.database.query(leases.failures, table, row_id)
            again = failures + 1 < MOST_FAILURES
            at = self._broker.now() + _AFTER_FAILURE * 2**failures if again else None
            failure = Failure(table, row_id, str(error)[:500] or type(error).__name__, at)
            await self._broker.database.write(leases.fail, failure)

    async def _aggregate(self, run_ids: list[str]) -> dict[str, Exception]:
        return await aggregate(self._broker, run_ids)

    async def _match(self, envelope_ids: list[str]) -> dict[str, Exception]:
        return await match(self._broker, envelope_ids, self._pace)

    async def _send_page(self) -> bool:
        room = _SENDERS - len(self._senders.tasks)
        if room <= 0:
            self._senders.freed.clear()
            await self._wait(self._senders.freed, self._broker.now() + self._timing.poll)
            return True
        if await self._app_is_paused():
            return False
        now = self._broker.now()
        claim = LaneClaim(now, now + self._timing.lease, new_lease(), room, self._pace)
        ids = await self._broker.database.write(lanes.claim, claim)
        works = await self._broker.database.query(deliveries.load, ids) if ids else []
        for work in works:
            task = asyncio.create_task(self._send(work))
            self._senders.tasks[task] = work
            task.add_done_callback(self._sent)
        return bool(ids)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._senders.tasks.pop(task, None)
        self._senders.freed.set()

    async def _send(self, work: Work) -> None:
        try:
            outcome = await deliver(self._broker, work, self._timing.lease * 0.8)
        except StorageUnavailable as error:
            _log.warning("delivery.unrecorded", delivery_id=work.delivery.id, error=str(error))
            return
        except Exception:
            _log.exception("delivery.failed", delivery_id=work.delivery.id)
            return
        if outcome and outcome.kind == "app_paused":
            refused = await self._broker.credentials.get("orchestrator")
            self._app_paused = (self._broker.now() + _APP_RETRY, refused.version)

    async def _app_is_paused(self) -> bool:
        """While GitHub refuses the App's key, nothing is claimed but once a minute."""
        if self._app_paused is None:
            return False
        until, refused = self._app_paused
        present = await self._broker.credentials.get("orchestrator", reread=True)
        if self._broker.now() < until and present.version == refused:
            return True
        self._app_paused = None
        await self._broker.database.write(deliveries.resume, ("app", self._broker.now()))
        return False

    async def _chores(self) -> None:
        async def turn() -> None:
            now = self._broker.now()
            if await self._broker.database.write(chores.take, ("lanes", now, now + _SWEEP_EVERY)):
                await self._broker.database.write(lanes.sweep, now)
            await self._wait(asyncio.Event(), now + _SWEEP_EVERY)

        while not self._stopping.is_set():
            await self._survive("chores", turn)

    async def _drain(self) -> None:
        """Let what is in flight end; give back the leases of what does not."""
        tasks = dict(self._senders.tasks)
        if not tasks:
            return
        timeout = self._broker.settings.shutdown_timeout.total_seconds()
        _done, left = await asyncio.wait(tasks, timeout=timeout)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for task in left:
            work = tasks[task]
            with contextlib.suppress(StorageUnavailable):
                held = (work.delivery.id, work.lease, self._broker.now())
                await self._broker.database.write(deliveries.release, held)
