"""A server's plugins that are off stand in the database, where `zekt check` finds them."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import structlog

from zekt_bot.db import plugin_faults
from zekt_bot.db.plugin_faults import Fault
from zekt_bot.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.operations.broker import Broker

_log = structlog.get_logger()


@asynccontextmanager
async def faults_kept(broker: Broker) -> AsyncIterator[None]:
    """Keep this process's faults until it ends; forget those of its host's that died, and old ones.

    Raises:
        StorageUnavailable: the database cannot be reached at the start.
    """
    host = socket.gethostname()[:100]
    own, writing = f"{host}:{os.getpid()}", set[asyncio.Task[None]]()

    def went_off(plugin: str, hook: str) -> None:
        fault = Fault(own, plugin[:200], hook[:60], broker.now())
        task = asyncio.create_task(_keep(broker, fault))
        writing.add(task)
        task.add_done_callback(writing.discard)

    known = await broker.database.query(plugin_faults.processes, host)
    for process in known:
        if process == own or not _lives(process):
            await broker.database.write(plugin_faults.forget, process)
    await broker.database.write(plugin_faults.forget_old, broker.now())
    broker.plugins.went_off = went_off
    try:
        yield
    finally:
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
        with suppress(StorageUnavailable):
            await broker.database.write(plugin_faults.forget, own)


async def _keep(broker: Broker, fault: Fault) -> None:
    """Say so now, and again each hour."""
    while True:
        try:
            await broker.database.write(plugin_faults.put, fault)
        except StorageUnavailable:
            _log.warning("plugin.fault_not_kept", plugin=fault.plugin, hook=fault.hook)
        await broker.clock.sleep_until(fault.at + plugin_faults.SAID_EVERY)
        fault = fault._replace(at=broker.now())


def _lives(process: str) -> bool:
    try:
        os.kill(int(process.rpartition(":")[2]), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
