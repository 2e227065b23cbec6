"""Hears of other processes' commits: LISTEN on PostgreSQL, `PRAGMA data_version` on SQLite.

Nothing depends on it but speed: whoever waits also polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import structlog

from zekt_bot.db import libpq
from zekt_bot.errors import ZektError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from zekt_bot.clock import Clock
    from zekt_bot.db.engine import Address

_EVERY = timedelta(seconds=1)
_TOPICS = {"inbox", "runs", "envelopes", "deliveries"}
_log = structlog.get_logger()


class Listener:
    """Wakes this process's waiters when another process commits."""

    def __init__(self, address: Address, clock: Clock, wake: Callable[[set[str]], None]) -> None:
        """`wake` takes the topics for which there may be work."""
        self._address = address
        self._clock = clock
        self._wake = wake
        self._task: asyncio.Task[None] | None = None

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

    async def _pause(self) -> None:
        await self._clock.sleep_until(self._clock.now() + _EVERY)

    async def _poll(self, path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            seen = None
            while True:
                with contextlib.suppress(sqlite3.OperationalError):
                    (version,) = connection.execute("PRAGMA data_version").fetchone()
                    if seen is not None and version != seen:
                        self._wake(set(_TOPICS))
                    seen = version
                await self._pause()

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ZektError) as error:
                _log.warning("listener.lost", error=type(error).__name__)
            self._wake(set(_TOPICS))
            await self._pause()

    async def _hear(self) -> None:
        connection = await libpq.connect(self._address.options)
        lost = asyncio.Event()
        connection.add_termination_listener(lambda *_: lost.set())
        try:
            await connection.add_listener(
                "zekt", lambda _c, _pid, _channel, topics: self._wake(set(topics.split(",")))
            )
            await lost.wait()
        finally:
            connection.terminate()
