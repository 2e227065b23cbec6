"""Leases due work and runs the pipeline's steps until told to stop.

Each queue has a loop of its own, so that a slow one holds up nobody else's. A loop that finds
nothing sleeps until a commit wakes it, until the next row is due, or for the polling interval.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.db import chores, deliveries, inbox, lanes, leases, outgoing
from zekt_bot.db.lanes import LaneClaim
from zekt_bot.db.leases import Claim
from zekt_bot.db.outgoing import KeptFacts
from zekt_bot.errors import StorageUnavailable, is_own_cancellation
from zekt_bot.operations import (
    accounts,
    lapses,
    ordering,
    pauses,
    reconciliation,
    replay,
    resting_services,
    retention,
    subscription_moves,
    unproven,
)
from zekt_bot.operations.broker import new_lease
from zekt_bot.pipeline import missed_webhooks, recovery
from zekt_bot.pipeline.aggregate import aggregate
from zekt_bot.pipeline.deliver import deliver
from zekt_bot.pipeline.match import match
from zekt_bot.pipeline.missed_runs import MissedRuns
from zekt_bot.pipeline.pages import failed
from zekt_bot.pipeline.route import build_router, route
from zekt_bot.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from zekt_bot.db.outgoing import Work
    from zekt_bot.operations.broker import Broker

_PAGE = 64
SENDERS = 96  # lanes bound what each installation has in flight
_MOST_HELD = SENDERS + _PAGE  # a page waits, so that no sender does; more would grow old
_ROUTERS = 2 * _PAGE
_FRESH = 0.5  # of its lease a row must have left to be begun with
_AFTER_OUTAGE = timedelta(seconds=1)
_APP_RETRY = timedelta(minutes=1)
_KEY_IS_NEW = timedelta(minutes=2)
_AFTER_NEW_KEY = timedelta(seconds=5)
_SWEEP_EVERY = timedelta(minutes=1)
_LOOK_EVERY = timedelta(hours=1)
_PURGE_EVERY = timedelta(hours=1)
_CHORES_END = timedelta(seconds=1)  # what a chore has to end by itself
_AT_START = timedelta(minutes=1)  # processes that start together look for missed webhooks once
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a row is leased, and how often a quiet queue is looked at."""

    lease: timedelta = timedelta(seconds=60)
    poll: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class _Pause:
    """GitHub refused the App's key of this version; it is tried again at `until`.

    `proof` is what GitHub had shown until then. A dispatch shows nothing: its token is older.
    """

    until: datetime
    version: str
    proof: tuple[str, int]


@dataclass(frozen=True, slots=True)
class _Held:
    """A leased delivery; `pause` is the one in which it was claimed, to try the key."""

    work: Work
    lease_ends_at: datetime
    pause: _Pause | None


class Worker:
    """One process's share of the work."""

    def __init__(self, broker: Broker, timing: Timing | None = None) -> None:
        """Begin nothing yet."""
        self._broker = broker
        self._timing = timing or Timing(lease=broker.settings.lease)
        self._router = build_router()
        self._pace = broker.settings.pace
        self._kept = KeptFacts()
        self._senders = Pool[_Held](SENDERS, _MOST_HELD, _PAGE, self._send)
        self._routers = Pool[Any](_ROUTERS, _ROUTERS, _PAGE, self._route)
        self._missed_runs = MissedRuns(broker)
        self._stopping = asyncio.Event()
        self._pause: _Pause | None = None
        self._key_changed_at: datetime | None = None

    async def run(self) -> None:
        """Work until `stop` was called and what is in flight has ended, within the set time."""
        if self._broker.database.address.path:
            await self._broker.database.write(leases.release_all, self._broker.now())
        await self._resume()  # whoever changed the key may have restarted the process for it
        await accounts.settle(self._broker)
        now = self._broker.now()
        just_done = now + recovery.EVERY - _AT_START
        await self._broker.database.write(chores.hasten, (recovery.CHORE, now, just_done))
        loops = [
            self._loop("inbox", self._route_page),
            self._loop("runs", lambda: self._page("runs", self._aggregate)),
            self._loop("envelopes", lambda: self._page("envelopes", self._match)),
            self._loop("deliveries", self._send_page),
        ]
        periodic = [
            self._chore("lanes", _SWEEP_EVERY, self._sweep),
            self._chore("replays", _SWEEP_EVERY, self._finish_replays),
            self._chore("workflows", _LOOK_EVERY, self._look),
            self._chore("retention", _PURGE_EVERY, self._purge),
            self._chore(recovery.CHORE, recovery.EVERY, self._recover),
        ]
        async with asyncio.TaskGroup() as group:
            for loop in loops:
                group.create_task(loop)
            await self._end([group.create_task(chore) for chore in periodic])
        await self._drain()

    async def _end(self, periodic: Sequence[asyncio.Task[None]]) -> None:
        """At the stop: what they wait for may take longer than is left, and they outlive a kill."""
        await self._stopping.wait()
        await asyncio.wait(periodic, timeout=_CHORES_END.total_seconds())
        for chore in periodic:
            chore.cancel()

    def stop(self) -> None:
        """Take no more work."""
        self._broker.plugins.observers.stopping(self._broker.settings.shutdown_timeout)
        self._stopping.set()

    async def _loop(self, topic: str, work: Callable[[], Awaitable[bool]]) -> None:
        woken = self._broker.database.subscribe(topic)

        async def turn() -> None:
            woken.clear()
            if not await work():  # it took all that was due, or `_next_due` says what is left
                await self._wait(woken, await self._next_due(topic))

        while not self._stopping.is_set():
            await self._survive(topic, turn)

    async def _survive(self, name: str, turn: Callable[[], Awaitable[None]]) -> None:
        """Whatever goes wrong in one turn, the next one may go well."""
        if self._broker.vitals.clock_is_off:
            await self._wait(asyncio.Event(), self._broker.now() + _AFTER_OUTAGE)
            return
        try:
            await turn()
        except StorageUnavailable as error:
            _log.warning("worker.storage_unavailable", queue=name, error=str(error))
            await self._wait(asyncio.Event(), self._broker.now() + _AFTER_OUTAGE)
        except (Exception, asyncio.CancelledError) as error:
            if is_own_cancellation(error):
                raise
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

    async def _claim(self, table: str) -> Claim:
        now = self._broker.now()
        return Claim(table, now, now + self._timing.lease, new_lease(), _PAGE)

    async def _route_page(self) -> bool:
        """Rows are taken while others are still under way: a slow one holds up nobody else's."""
        if self._routers.room < _PAGE:
            await self._until_freed(self._routers)
            return True
        claim = await self._claim("inbox")
        ids = await self._broker.database.write(leases.claim, claim)
        rows = await self._broker.database.query(inbox.load, ids) if ids else []
        for row in rows:
            self._routers.give(row)
        return len(ids) == _PAGE

    async def _until_freed(self, pool: Pool[Any]) -> None:
        pool.freed.clear()
        await self._wait(pool.freed, self._broker.now() + self._timing.poll)

    async def _route(self, row: Any) -> None:
        with contextlib.suppress(StorageUnavailable):  # the lease runs out, the row is due again
            await route(self._broker, self._router, row, self._timing.lease * 0.8)

    async def _page(
        self, table: str, step: Callable[[list[str]], Awaitable[dict[str, Exception]]]
    ) -> bool:
        claim = await self._claim(table)
        ids = await self._broker.database.write(leases.claim, claim)
        found = await step(ids) if ids else {}
        await asyncio.gather(*(self._failed(claim, *row) for row in found.items()))
        return len(ids) == _PAGE

    async def _failed(self, claim: Claim, row_id: str, error: Exception) -> None:
        with contextlib.suppress(StorageUnavailable):  # the lease runs out, the row is due again
            await failed(self._broker, claim, row_id, error)

    async def _aggregate(self, run_ids: list[str]) -> dict[str, Exception]:
        return await aggregate(self._broker, run_ids)

    async def _match(self, envelope_ids: list[str]) -> dict[str, Exception]:
        return await match(self._broker, envelope_ids, self._pace)

    async def _send_page(self) -> bool:
        if self._senders.room < _PAGE:
            await self._until_freed(self._senders)
            return True
        if await self._paused():
            return True
        now, lane = self._broker.now(), await self._probed()
        room = self._senders.room if lane is None else 1
        claim = LaneClaim(now, now + self._timing.lease, new_lease(), room, self._pace, lane)
        ids = await self._broker.database.write(lanes.claim, claim)
        works = await self._broker.database.query(outgoing.load, ids, self._kept) if ids else []
        for work in works:
            self._senders.give(_Held(work, claim.until, self._pause))
        return len(ids) >= _PAGE

    async def _send(self, held: _Held) -> None:
        work = held.work
        try:
            if self._waited_too_long(held):
                await self._release(held)
                return
            outcome = await deliver(self._broker, work, held.lease_ends_at)
        except StorageUnavailable as error:
            _log.warning("delivery.unrecorded", delivery_id=work.delivery.id, error=str(error))
            return
        except Exception:
            _log.exception("delivery.failed", delivery_id=work.delivery.id)
            return
        if outcome and outcome.kind == "app_paused":
            used = await self._broker.credentials.get("orchestrator")
            until = self._broker.now() + self._retry_in()
            self._pause = _Pause(until, used.version, self._broker.github.proof)

    def _waited_too_long(self, held: _Held) -> bool:
        """Whether a POST might outlive the lease, or GitHub has refused the key meanwhile."""
        left = held.lease_ends_at - self._broker.now()
        refused = self._pause is not None and self._pause is not held.pause
        return refused or left < self._timing.lease * _FRESH

    async def _release(self, held: _Held) -> None:
        row = held.work.delivery.id, held.work.lease, self._broker.now()
        await self._broker.database.write(deliveries.release, row)

    def _retry_in(self) -> timedelta:
        """GitHub needs some seconds until it knows a new key."""
        changed = self._key_changed_at
        lately = changed is not None and self._broker.now() - changed < _KEY_IS_NEW
        return _AFTER_NEW_KEY if lately else _APP_RETRY

    async def _paused(self) -> bool:
        """Wait while GitHub refuses the App's key, until it is to be tried again."""
        pause = self._pause
        if pause is None:
            return False
        if (proof := self._broker.github.proof)[1] and proof != pause.proof:
            await self._resume()
            return False
        now = self._broker.now()
        present = await self._broker.credentials.get("orchestrator")
        if present.version != pause.version:
            self._key_changed_at = now
        elif now < pause.until:
            self._senders.freed.clear()
            await self._wait(self._senders.freed, min(pause.until, now + self._timing.poll))
            return True
        self._pause = _Pause(now + self._retry_in(), present.version, pause.proof)
        return False

    async def _probed(self) -> str | None:
        """The lane of one delivery that tries a refused key; None: there is no pause."""
        if self._pause is None:
            return None
        lane = await self._broker.database.write(deliveries.probe, ("app", self._broker.now()))
        if lane is None:  # nobody waits for the key; whoever needs it next finds out
            self._pause = None
        return lane

    async def _resume(self) -> None:
        await self._broker.database.write(deliveries.resume, ("app", self._broker.now()))
        self._pause = None

    async def _chore(
        self, name: str, every: timedelta, work: Callable[[], Awaitable[None]]
    ) -> None:
        """Periodic work, done by one process of the cluster each time."""

        async def turn() -> None:
            now = self._broker.now()
            if await self._broker.database.write(chores.take, (name, now, now + every)):
                await work()
            await self._wait(asyncio.Event(), now + every)

        while not self._stopping.is_set():
            await self._survive(name, turn)

    async def _sweep(self) -> None:
        await self._broker.database.write(lanes.sweep, self._broker.now())
        await pauses.finish(self._broker)
        await unproven.send_again(self._broker, self._stopping.is_set)
        await ordering.look(self._broker, self._stopping.is_set)
        await subscription_moves.expire(self._broker)

    async def _finish_replays(self) -> None:
        await replay.finish(self._broker, self._stopping.is_set)

    async def _purge(self) -> None:
        await retention.purge(self._broker, self._stopping.is_set)
        await lapses.purge(self._broker, self._stopping.is_set)

    async def _look(self) -> None:
        await reconciliation.reconcile(self._broker, self._stopping.is_set)
        await resting_services.look(self._broker, self._stopping.is_set)

    async def _recover(self) -> None:
        stopped = self._stopping.is_set
        await missed_webhooks.recover(self._broker, stopped)
        if not stopped():
            await self._missed_runs.recover(stopped)

    async def _drain(self) -> None:
        """Let what is in flight end; give back the leases of what does not."""
        timeout = self._broker.settings.shutdown_timeout
        works, rows, _ = await asyncio.gather(
            self._senders.drain(timeout),
            self._routers.drain(timeout),
            self._give_back(self._senders.withdraw(), self._routers.withdraw()),
        )
        await self._give_back(works, rows)

    async def _give_back(self, works: list[_Held], rows: list[Any]) -> None:
        """Let another process have them, all in a commit or two."""
        now, write = self._broker.now(), self._broker.database.write
        returns = [leases.Return("inbox", row["id"], row["lease"], now) for row in rows]
        with contextlib.suppress(StorageUnavailable):  # the leases run out
            await asyncio.gather(
                *(self._release(held) for held in works),
                *(write(leases.give_back, each) for each in returns),
            )
