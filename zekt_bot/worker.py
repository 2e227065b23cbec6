"""Leases due work and runs the pipeline's steps until told to stop.

Each queue has a loop of its own, so that a slow one holds up nobody else's. It goes on with what
commits of this process have leased for it (`db/handover.py`). Else it sleeps until another
process's commit wakes it, until the next row is due, or for the polling interval, and then leases
by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.chores import Chore, Chores
from zekt_bot.db import chores, deliveries, handover, inbox, leases, outgoing
from zekt_bot.db.kept import KeptFacts
from zekt_bot.db.lanes import LaneClaim
from zekt_bot.db.leases import Claim
from zekt_bot.errors import StorageUnavailable, is_own_cancellation
from zekt_bot.operations import accounts
from zekt_bot.operations.broker import new_lease
from zekt_bot.pipeline.aggregate import aggregate
from zekt_bot.pipeline.deliver import deliver
from zekt_bot.pipeline.match import match
from zekt_bot.pipeline.pages import failed
from zekt_bot.pipeline.route import build_router, route
from zekt_bot.pool import Pool
from zekt_bot.queues import Queue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from zekt_bot.db.handover import Leased, Page, Request
    from zekt_bot.db.outgoing import Work
    from zekt_bot.domain.lanes import Pace
    from zekt_bot.operations.broker import Broker

    _Step = Callable[[Broker, Sequence[str], Pace, KeptFacts], Awaitable[dict[str, Exception]]]

_PAGE = 64
SENDERS = 96  # lanes bound what each installation has in flight
_MOST_HELD = SENDERS + _PAGE  # a page waits, so that no sender does; more would grow old
_ROUTERS = 2 * _PAGE
_FRESH = 0.5  # of its lease a row must have left to be begun with
_AFTER_OUTAGE = timedelta(seconds=1)
_APP_RETRY = timedelta(minutes=1)
_KEY_IS_NEW = timedelta(minutes=2)
_AFTER_NEW_KEY = timedelta(seconds=5)
_CHORES_END = timedelta(seconds=1)  # what a chore has to end by itself
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
        self._stopping = asyncio.Event()
        self._chores = Chores(broker, self._stopping.is_set)
        self._pause: _Pause | None = None
        self._trial: str | None = None  # the lease of the delivery that tries a refused key
        self._key_changed_at: datetime | None = None
        self._waited_for: set[asyncio.Event] = set()
        self._inbox = self._queue("inbox", self._offered_inbox)
        self._runs = self._queue("runs", lambda: self._claim("runs"))
        self._envelopes = self._queue("envelopes", lambda: self._claim("envelopes"))
        self._deliveries = self._queue("deliveries", self._offered_deliveries)
        self._queues = self._inbox, self._runs, self._envelopes, self._deliveries

    def _queue(self, topic: str, offer: Callable[[], Request | None]) -> Queue:
        def while_working() -> Request | None:
            idle = self._stopping.is_set() or self._broker.vitals.clock_is_off
            return None if idle else offer()

        return Queue(topic, self._broker.clock, self._timing.poll, while_working)

    async def run(self) -> None:
        """Work until `stop` was called and what is in flight has ended, within the set time."""
        if self._broker.database.address.path:
            await self._broker.database.write(leases.release_all, self._broker.now())
        await self._resume()  # whoever changed the key may have restarted the process for it
        await accounts.settle(self._broker)
        await self._chores.begin()
        loops = [
            self._loop(self._inbox, self._look_for_news, self._route_page),
            self._loop(self._runs, self._runs_due, partial(self._take_step, "runs", aggregate)),
            self._loop(
                self._envelopes, self._envelopes_due, partial(self._take_step, "envelopes", match)
            ),
            self._loop(self._deliveries, self._look_for_deliveries, self._send_page),
        ]
        for queue in self._queues:
            self._broker.database.hand_over(queue.topic, queue)
        periodic = [self._chore(chore) for chore in self._chores.every]
        async with asyncio.TaskGroup() as group:
            for loop in loops:
                group.create_task(loop)
            await self._end([group.create_task(chore) for chore in periodic])
        await self._drain()

    async def _end(self, periodic: Sequence[asyncio.Task[None]]) -> None:
        """At the stop: what they wait for may take longer than is left, and they outlive a kill."""
        await self._stopping.wait()
        within = min(_CHORES_END, self._broker.shutdown.left())
        await asyncio.wait(periodic, timeout=within.total_seconds())
        for chore in periodic:
            chore.cancel()

    def stop(self) -> None:
        """Take no more work."""
        self._broker.shutdown.begin()
        self._stopping.set()
        for event in (*self._waited_for, *(queue.woken for queue in self._queues)):
            event.set()

    async def _loop(
        self,
        queue: Queue,
        look: Callable[[], Awaitable[list[Leased]]],
        work: Callable[[list[Leased]], Awaitable[None]],
    ) -> None:
        async def turn() -> None:
            queue.woken.clear()
            rows = queue.next(_PAGE)
            if not rows and queue.look_at <= self._broker.now():
                queue.stop_alarm()  # who looks may have to wait for something else
                rows = await look()
            if rows:
                await work(rows)
            else:
                await queue.rest()

        try:
            while not self._stopping.is_set():
                await self._survive(queue.topic, turn)
        finally:
            queue.stop_alarm()

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
        if self._stopping.is_set():
            return
        sleep = asyncio.create_task(self._broker.clock.sleep_until(until))
        sleep.add_done_callback(lambda _: event.set())
        self._waited_for.add(event)
        try:
            await event.wait()
        finally:
            self._waited_for.discard(event)
            sleep.cancel()
            await asyncio.gather(sleep, return_exceptions=True)

    def _claim(self, table: str) -> Claim:
        now = self._broker.now()
        return Claim(table, now, now + self._timing.lease, new_lease(), _PAGE)

    def _offered_inbox(self) -> Request | None:
        return self._claim("inbox") if self._routers.room >= _PAGE else None

    def _offered_deliveries(self) -> Request | None:
        room = self._senders.room
        return self._lane_claim(room) if room >= _PAGE and self._pause is None else None

    def _lane_claim(self, room: int, lane: str | None = None) -> LaneClaim:
        now = self._broker.now()
        return LaneClaim(now, now + self._timing.lease, new_lease(), room, self._pace, lane)

    async def _lease(self, queue: Queue, request: Request) -> list[Leased]:
        asked = queue.topic, request

        async def claim() -> Page:
            return await self._broker.database.write(handover.claim, asked)

        return await queue.look(claim)

    async def _runs_due(self) -> list[Leased]:
        return await self._lease(self._runs, self._claim("runs"))

    async def _envelopes_due(self) -> list[Leased]:
        return await self._lease(self._envelopes, self._claim("envelopes"))

    async def _look_for_news(self) -> list[Leased]:
        """Rows are taken while others are still under way: a slow one holds up nobody else's."""
        if self._routers.room < _PAGE:
            await self._until_freed(self._routers)
            return []
        return await self._lease(self._inbox, self._claim("inbox"))

    async def _route_page(self, leased: list[Leased]) -> None:
        for row in await self._broker.database.query(inbox.load, [row.id for row in leased]):
            self._routers.give(row)

    async def _until_freed(self, pool: Pool[Any]) -> None:
        pool.freed.clear()
        await self._wait(pool.freed, self._broker.now() + self._timing.poll)

    async def _route(self, row: Any) -> None:
        with contextlib.suppress(StorageUnavailable):  # the lease runs out, the row is due again
            await route(self._broker, self._router, row, self._timing.lease * 0.8)

    async def _take_step(self, table: str, step: _Step, leased: list[Leased]) -> None:
        held = {row.id: row.lease for row in leased}
        found = await step(self._broker, list(held), self._pace, self._kept)
        each = (self._failed(table, row, held[row], error) for row, error in found.items())
        await asyncio.gather(*each)

    async def _failed(self, table: str, row_id: str, lease: str, error: Exception) -> None:
        with contextlib.suppress(StorageUnavailable):  # the lease runs out, the row is due again
            await failed(self._broker, (table, row_id, lease), error)

    async def _look_for_deliveries(self) -> list[Leased]:
        if self._senders.room < _PAGE:
            await self._until_freed(self._senders)
            return []
        if await self._paused():
            return []
        lane = await self._probed()
        request = self._lane_claim(self._senders.room if lane is None else 1, lane)
        self._trial = None if lane is None else request.lease
        return await self._lease(self._deliveries, request)

    async def _send_page(self, leased: list[Leased]) -> None:
        until = {row.id: row.until for row in leased}
        for work in await self._broker.database.query(outgoing.load, list(until), self._kept):
            trial = self._pause if work.lease == self._trial else None
            self._senders.give(_Held(work, until[work.delivery.id], trial))

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
            self._deliveries.wake()

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

    async def _chore(self, chore: Chore) -> None:
        """Periodic work, done by one process of the cluster each time."""

        async def turn() -> None:
            now = self._broker.now()
            taken = (chore.name, now, now + chore.every)
            if await self._broker.database.write(chores.take, taken):
                await chore.work()
            await self._wait(asyncio.Event(), now + chore.every)

        while not self._stopping.is_set():
            await self._survive(chore.name, turn)

    async def _drain(self) -> None:
        """Let what is in flight end; give back the leases of what does not."""
        with contextlib.suppress(StorageUnavailable):
            await self._broker.database.settled()  # the last that may hand over
        timeout = self._broker.shutdown.left()
        works, rows, _, _ = await asyncio.gather(
            self._senders.drain(timeout),
            self._routers.drain(timeout),
            self._give_back(self._senders.withdraw(), self._routers.withdraw()),
            self._give_back_unread(),
        )
        await self._give_back(works, rows)

    async def _give_back(self, works: list[_Held], rows: list[Any]) -> None:
        """Let another process have them, all in a commit or two."""
        held = [(each.work.delivery.id, each.work.lease) for each in works]
        await self._return(held, [("inbox", row["id"], row["lease"]) for row in rows])

    async def _give_back_unread(self) -> None:
        """What was leased for this process, and none of its steps has begun with."""
        sending = [(row.id, row.lease) for row in self._deliveries.withdraw()]
        others = (self._inbox, self._runs, self._envelopes)
        found = [(each.topic, row.id, row.lease) for each in others for row in each.withdraw()]
        await self._return(sending, found)

    async def _return(
        self, sending: list[tuple[str, str]], others: list[tuple[str, str, str]]
    ) -> None:
        now, write = self._broker.now(), self._broker.database.write
        with contextlib.suppress(StorageUnavailable):  # the leases run out
            await asyncio.gather(
                *(write(deliveries.release, (*row, now)) for row in sending),
                *(write(leases.give_back, leases.Return(*row, now)) for row in others),
            )
