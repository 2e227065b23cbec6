"""What the handlers need, handed in by the composition root."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from aiohttp import web

from zekt_bot.domain.figures import Figures
from zekt_bot.errors import RequestRefused, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from zekt_bot.clock import Clock
    from zekt_bot.config import Credentials, Settings
    from zekt_bot.domain.webhooks import Receipt, VerifiedWebhook
    from zekt_bot.operations.broker import Broker

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a request's head and body may take, an idle connection may stay, and the rest
    of a refused body is read away so that the client hears the answer.

    `look` and `store`: how long the database may take before and after the body, together less
    than the ten seconds that GitHub waits.
    """

    head: timedelta = timedelta(seconds=10)
    look: timedelta = timedelta(seconds=1.5)
    body: timedelta = timedelta(seconds=30)
    store: timedelta = timedelta(seconds=6)
    idle: timedelta = timedelta(seconds=75)
    linger: timedelta = timedelta(seconds=5)


async def _nothing() -> dict[str, Any]:
    raise StorageUnavailable


async def _nobody(_account_id: int) -> int:
    raise StorageUnavailable


@dataclass(frozen=True, slots=True)
class WebDeps:
    """The parts of the product that answer requests.

    `withdrawn`: a person (by id) has withdrawn their authorization. `broker` is what the console's
    operations need; None: there is no console, only webhooks.
    """

    settings: Settings
    credentials: Credentials
    store: Callable[[VerifiedWebhook], Awaitable[Receipt]]
    ready: Callable[[], Awaitable[None]]
    clock: Clock
    limits: Limits = field(default_factory=Limits)
    figures: Figures = field(default_factory=Figures)
    status: Callable[[], Awaitable[dict[str, Any]]] = _nothing
    withdrawn: Callable[[int], Awaitable[int]] = _nobody
    broker: Broker | None = None


class InFlight:
    """Bytes of bodies that have come and are not stored yet, all together.

    Nobody who is known by an account holds more than they leave free: one has half of it, of two
    each a third, and the next always finds room. So shared buffers of switches are kept fair.

    Source: https://doi.org/10.1109/90.664262 (Choudhury and Hahne, dynamic thresholds)
    """

    def __init__(self, most: int, part_of: InFlight | None = None, *, least: int = 0) -> None:
        """Hold at most `most`, which count in the whole too that they are `part_of`.

        `least`: what each account may hold, if it is there, however little it leaves free.
        """
        self._most = most
        self._part_of = part_of
        self._least = least
        self._held = 0
        self._of: Counter[int] = Counter()

    def holding(self, whose: int | None = None) -> Holding:
        """For one body of this account: a function that counts its bytes as they come."""
        return Holding(self, whose)

    def add(self, count: int, whose: int | None = None) -> None:
        """Count bytes.

        Raises:
            RequestRefused: 503, there is no room for them.
        """
        free = self._most - self._held - count
        if free < 0:
            raise RequestRefused(503, "The server reads too many bodies at once; try again.")
        if whose is not None and self._of[whose] + count > max(free, self._least):
            raise RequestRefused(
                503, "The server reads too many bodies of this account at once; try again."
            )
        if self._part_of:
            self._part_of.add(count)
        self._held += count
        if whose is not None:
            self._of[whose] += count

    def give_back(self, count: int, whose: int | None = None) -> None:
        """Count them no more."""
        self._held -= count
        if whose is not None:
            self._of[whose] -= count
            if not self._of[whose]:
                del self._of[whose]
        if self._part_of:
            self._part_of.give_back(count)


class Holding:
    """What one request's body has of the room; given back at the end.

    What a request only announces counts for nothing, or a few idle connections would keep out
    everybody.
    """

    __slots__ = ("_mine", "_room", "_whose")

    def __init__(self, room: InFlight, whose: int | None) -> None:
        """Nothing yet."""
        self._room = room
        self._whose = whose
        self._mine = 0

    def __enter__(self) -> Callable[[int], None]:
        """Gives what counts bytes as they come; it raises as `InFlight.add`."""
        return self._take

    def __exit__(self, *_: object) -> None:
        """Give all back."""
        self._room.give_back(self._mine, self._whose)

    def _take(self, count: int) -> None:
        self._room.add(count, self._whose)
        self._mine += count


class Ignored:
    """Verified webhooks that were not stored, by reason; told in one line a minute."""

    _EVERY = timedelta(minutes=1)

    def __init__(self, clock: Clock) -> None:
        """Nothing yet."""
        self._clock = clock
        self._counts: Counter[str] = Counter()

    def count(self, reason: str) -> None:
        """One more."""
        self._counts[reason] += 1

    async def telling(self, _app: web.Application) -> AsyncIterator[None]:
        """Tell while the application runs, and what is left at its end."""
        task = asyncio.create_task(self._tell_often())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._tell()

    async def _tell_often(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.now() + self._EVERY)
            self._tell()

    def _tell(self) -> None:
        if self._counts:
            _log.info("webhooks.ignored", **self._counts)
            self._counts.clear()


class Readiness:
    """Whether a webhook could be stored: asked at most once a second, whoever wants to know."""

    _KEPT = 1.0

    def __init__(self, check: Callable[[], Awaitable[None]], clock: Clock) -> None:
        """Ask nothing yet."""
        self._check = check
        self._clock = clock
        self._lock = asyncio.Lock()
        self._ready, self._asked_at = False, -self._KEPT

    async def ask(self, within: timedelta) -> bool:
        """The answer, at most a second old; none within that time is a no."""
        async with self._lock:
            if self._clock.monotonic() - self._asked_at >= self._KEPT:
                self._ready = await self._can_store(within)
                self._asked_at = self._clock.monotonic()
            return self._ready

    async def _can_store(self, within: timedelta) -> bool:
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._check()
        except (StorageUnavailable, TimeoutError):
            return False
        return True


class Kept:
    """What reading the database for everybody who asks would cost too much: kept for a while."""

    _SECONDS = 5.0

    def __init__(self, read: Callable[[], Awaitable[dict[str, Any]]], clock: Clock) -> None:
        """Read nothing yet."""
        self._read = read
        self._clock = clock
        self._lock = asyncio.Lock()
        self._found: dict[str, Any] | None = None
        self._read_at = 0.0

    async def get(self) -> dict[str, Any]:
        """What was read, at most five seconds ago; whoever comes meanwhile waits for that read.

        Raises:
            StorageUnavailable: it cannot be read.
        """
        async with self._lock:
            age = self._clock.monotonic() - self._read_at
            if self._found is None or age >= self._SECONDS:
                self._found = await self._read()
                self._read_at = self._clock.monotonic()
            return self._found


DEPS = web.AppKey("DEPS", WebDeps)
BROKER: web.AppKey[Broker] = web.AppKey("BROKER")
IN_FLIGHT = web.AppKey("IN_FLIGHT", InFlight)
IGNORED = web.AppKey("IGNORED", Ignored)
READINESS = web.AppKey("READINESS", Readiness)
STATUS = web.AppKey("STATUS", Kept)


def answer(status: int, body: dict[str, Any], **headers: str) -> web.Response:
    """A JSON answer; `Retry_After="5"` becomes the header Retry-After."""
    named = headers and {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        content_type="application/json",
        headers=named,
    )
