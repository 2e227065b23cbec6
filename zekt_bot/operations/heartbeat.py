"""A running process writes of itself: that it lives, how far its clock is off, what it counted."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import orjson
import structlog

from zekt_bot.db import processes
from zekt_bot.db.processes import Beat
from zekt_bot.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import datetime

    from sqlalchemy import RowMapping

    from zekt_bot.operations.broker import Broker

Kind = Literal["serve", "web", "worker"]

BEAT_EVERY = timedelta(seconds=10)
DEAD_AFTER = 3 * BEAT_EVERY
MOST_OFF = timedelta(seconds=2)
_LAG_EVERY = 1.0
_log = structlog.get_logger()


def taken_in(rows: Iterable[RowMapping], now: datetime) -> tuple[int, int] | None:
    """Of the webhooks that these processes found missing how many are dealt with, and how many they
    are; None: none of them runs.
    """
    told = [orjson.loads(row["figures"]) for row in rows if now - row["beat_at"] < DEAD_AFTER]
    missed = (each.get("missed", (0, 0)) for each in told)
    return max(((done, found) for done, found in missed), default=None, key=lambda one: one[1])


@asynccontextmanager
async def beating(broker: Broker, kind: Kind) -> AsyncIterator[None]:
    """Write of this process until it ends; the first time before anything else begins.

    Raises:
        StorageUnavailable: the database cannot be reached at the start.
    """
    heart = _Heart(broker, kind)
    await heart.beat()
    tasks = [asyncio.create_task(work) for work in (heart.beat_often(), heart.watch_loop())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(StorageUnavailable):
            await broker.database.write(processes.end, heart.id)


class _Heart:
    def __init__(self, broker: Broker, kind: Kind) -> None:
        self.id = f"prc_{secrets.token_hex(13)}"
        self._broker = broker
        self._kind = kind
        self._started_at = broker.now()

    async def beat(self) -> None:
        broker, offset = self._broker, await self._compare_clocks()
        figures = broker.vitals.figures
        row = Beat(
            id=self.id,
            kind=self._kind,
            host=socket.gethostname()[:100],
            pid=os.getpid(),
            version=version("zekt-bot")[:40],
            started_at=self._started_at,
            beat_at=broker.now(),
            clock_offset_us=None if offset is None else offset // timedelta(microseconds=1),
            listening=broker.database.hears,
            figures=orjson.dumps(figures.told()).decode(),
        )
        await broker.database.write(processes.beat, row)

    async def beat_often(self) -> None:
        while True:
            await self._broker.clock.sleep_until(self._broker.now() + BEAT_EVERY)
            try:
                await self.beat()
            except StorageUnavailable as error:
                _log.debug("heartbeat.missed", error=str(error))

    async def watch_loop(self) -> None:
        """Time how late the event loop is; that is its own affair, so its own clock is used."""
        loop, lag = asyncio.get_running_loop(), self._broker.vitals.figures.loop_lag_seconds
        while True:
            due = loop.time() + _LAG_EVERY
            await asyncio.sleep(_LAG_EVERY)
            lag.observe(max(0.0, loop.time() - due))

    async def _compare_clocks(self) -> timedelta | None:
        """How far PostgreSQL's clock is before ours; SQLite has no other clock than ours."""
        broker = self._broker
        if broker.database.address.path:
            return None
        began = broker.now()
        told = await broker.database.query(processes.clock)
        took = broker.now() - began
        offset = told - (began + took / 2)
        self._judge(offset, certain=max(abs(offset) - abs(took) / 2, timedelta()))
        return offset

    def _judge(self, offset: timedelta, certain: timedelta) -> None:
        """A worker whose clock is off would take what is not due, and leave what is."""
        vitals, off = self._broker.vitals, certain > MOST_OFF
        if off != vitals.clock_is_off:
            seconds = round(offset.total_seconds(), 1)
            if off:
                effect = "this process takes no work: set the clocks by NTP"
                _log.error("clock.off", database_is_ahead_by_seconds=seconds, effect=effect)
            else:
                _log.info("clock.agrees", database_is_ahead_by_seconds=seconds)
        vitals.clock_is_off = off
