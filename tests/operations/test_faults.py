"""Plugins that are off stand in the database while their process lives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.db.rows import KEY, stored, until
from zekt_bot.app import open_broker
from zekt_bot.clock import SystemClock
from zekt_bot.config import Settings
from zekt_bot.db import plugin_faults as faults
from zekt_bot.db.plugin_faults import Fault
from zekt_bot.db.tables import plugin_faults
from zekt_bot.operations.server_check import check

if TYPE_CHECKING:
    from zekt_bot.operations.broker import Broker

HOST = socket.gethostname()[:100]
OWN = f"{HOST}:{os.getpid()}"


async def processes(broker: Broker) -> set[str]:
    return {row["process"] for row in await stored(broker.database, plugin_faults)}


async def test_another_process_sees_what_is_off_until_the_server_ends(migrated_url: str) -> None:
    settings = Settings(database_url=migrated_url, secret_keys=(KEY,))
    async with open_broker(settings, server=True) as broker:
        broker.plugins.went_off("mine", "zekt_block_reason")

        async def seen() -> bool:
            return await processes(broker) == {OWN}

        await until(seen)
        (found,) = [f for f in await check(settings, SystemClock()) if f.part == "plugin"]
        assert not found.ok
        assert f"mine is off in {OWN}" in found.said
    async with open_broker(settings) as broker:
        assert await processes(broker) == set()


async def test_what_a_dead_process_left_is_forgotten_and_what_lives_elsewhere_stays(
    migrated_url: str,
) -> None:
    settings = Settings(database_url=migrated_url, secret_keys=(KEY,))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = [f"{HOST}:{ended.pid}", OWN, f"{HOST}:{os.getppid()}", f"{HOST}:1", "elsewhere:1"]
    async with open_broker(settings) as broker:
        for process in left:
            fault = Fault(process, "mine", "zekt_transform", broker.now())
            await broker.database.write(faults.add, fault)
    async with open_broker(settings, server=True) as broker:
        assert await processes(broker) == set(left[2:])


async def test_a_command_keeps_no_faults(migrated_sqlite: str) -> None:
    settings = Settings(database_url=migrated_sqlite, secret_keys=(KEY,))
    async with open_broker(settings) as broker:
        broker.plugins.went_off("mine", "zekt_block_reason")
        assert await processes(broker) == set()
