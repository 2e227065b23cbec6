"""Hears of other processes' commits: LISTEN on PostgreSQL, `PRAGMA data_version` on SQLite.

Nothing depends on it but speed: whoever waits also polls. A listener may be deaf and not know it
(through PgBouncer in transaction mode LISTEN succeeds and nothing ever comes), so it tells itself
something at its start and each minute. While that is not heard, everybody is woken each second.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import aiosqlite
import asyncpg
import structlog

from zekt_bot.db import libpq
from zekt_bot.errors import ZektError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from datetime import datetime
    from pathlib import Path

    from zekt_bot.clock import Clock
    from zekt_bot.db.engine import Address

_LOOK_EVERY = timedelta(seconds=1)
_PING_EVERY = timedelta(minutes=1)
_PING_WITHIN = timedelta(seconds=2)
_TOPICS = {"inbox", "runs", "envelopes", "deliveries"}
_LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ZektError)
_log = structlog.get_logger()


class Listener:
    """Wakes this process's waiters when another process commits."""

    def __init__(
        self,
        address: Address,
        clock: Clock,
        wake: Callable[[set[str]], None],
        tell: Callable[[str], Awaitable[object]],
    ) -> None:
        """`wake` takes the topics for which there may be work; `tell` commits a word as a topic.

        `address` is listened at. `tell` writes where everybody writes: only so is it a test.
        """
        self._address = address
        self._clock = clock
        self._wake = wake
        self._tell = tell
        self._task: asyncio.Task[None] | None = None
        self._told: dict[str, asyncio.Event] = {}
        self.hears: bool | None = None
        """Whether news of other processes come at once; None: not known yet, or SQLite."""

    def start(self) -> None:
        """Begin to listen."""
        path = self._address.path
        work = self._poll(path) if path else self._listen()
        self._task = asyncio.create_task(work, name="zekt-listener")

    async def close(self) -> None:
        """Stop."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def try_once(self) -> bool:
        """Whether what is told now is heard (PostgreSQL).

        Raises:
            StorageUnavailable: nothing can be told.
            OSError, asyncpg.PostgresError: the address cannot be listened at.
        """
        async with self._line():
            return await self._hears_itself()

    async def _pause(self) -> None:
        await self._clock.sleep_until(self._clock.now() + _LOOK_EVERY)

    async def _poll(self, path: Path) -> None:
        async with aiosqlite.connect(path) as connection:
            seen = None
            while True:
                with contextlib.suppress(sqlite3.OperationalError):
                    ((version,),) = await connection.execute_fetchall("PRAGMA data_version")
                    if seen is not None and version != seen:
                        self._wake(set(_TOPICS))
                    seen = version
                await self._pause()

    async def _listen(self) -> None:
        while True:
            again_at = self._clock.now() + _LOOK_EVERY
            try:
                async with self._line() as lost:
                    if not await self._while_heard(lost):
                        again_at = self._clock.now() + _PING_EVERY
                        self._find(hears=False, why="its own notification did not come")
            except _LOST as error:
                self._find(hears=False, why=type(error).__name__)
            await self._look_until(again_at)

    async def _while_heard(self, lost: asyncio.Event) -> bool:
        """Return when the line is cut; False: it stands, and nothing comes over it."""
        while not lost.is_set():
            if not await self._hears_itself():
                return False
            self._find(hears=True)
            await self._either(lost, self._clock.now() + _PING_EVERY)
        self._find(hears=False, why="the connection was cut")
        return True

    async def _look_until(self, when: datetime) -> None:
        """Make up for what is not heard meanwhile."""
        self._wake(set(_TOPICS))
        while self._clock.now() < when:
            await self._pause()
            self._wake(set(_TOPICS))

    @asynccontextmanager
    async def _line(self) -> AsyncIterator[asyncio.Event]:
        """A connection that listens; the event is set when it is lost."""
        connection = await libpq.connect(self._address.options)
        lost = asyncio.Event()
        connection.add_termination_listener(lambda *_: lost.set())
        try:
            await connection.add_listener("zekt", self._heard)
            yield lost
        finally:
            connection.terminate()

    def _heard(self, _connection: object, _pid: int, _channel: str, topics: str) -> None:
        found = set(topics.split(","))
        for word in found & self._told.keys():
            self._told[word].set()
        self._wake(found)

    async def _hears_itself(self) -> bool:
        word = f"ping-{secrets.token_hex(8)}"
        heard = self._told[word] = asyncio.Event()
        try:
            await self._tell(word)
            await self._either(heard, self._clock.now() + _PING_WITHIN)
        finally:
            del self._told[word]
        return heard.is_set()

    async def _either(self, event: asyncio.Event, when: datetime) -> None:
        """Until the event, or until then."""
        waits = {
            asyncio.ensure_future(event.wait()),
            asyncio.ensure_future(self._clock.sleep_until(when)),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def _find(self, *, hears: bool, why: str | None = None) -> None:
        """Say it when it changes, and not again each minute."""
        if not hears and self.hears is not False:
            _log.warning("listener.deaf", why=why, effect="the database is asked each second")
        elif hears and self.hears is False:
            _log.info("listener.hears")
        self.hears = hears
