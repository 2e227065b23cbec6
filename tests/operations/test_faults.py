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
from zekt_bot.testing import ManualClock

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
            await broker.database.write(faults.put, fault)
    async with open_broker(settings, server=True) as broker:
        assert await processes(broker) == set(left[2:])


async def test_what_nobody_says_for_a_day_is_over_and_what_is_said_each_hour_is_not(
    migrated_url: str,
) -> None:
    settings, clock = Settings(database_url=migrated_url, secret_keys=(KEY,)), ManualClock()

    async def red() -> set[str]:
        found = [each.said for each in await check(settings, clock) if each.part == "plugin"]
        return {said.split()[4].rstrip(",") for said in found}

    async with open_broker(settings, clock, server=True) as broker:
        gone = Fault("gone.example:1", "mine", "zekt_transform", clock.now())
        await broker.database.write(faults.put, gone)
        broker.plugins.went_off("mine", "zekt_block_reason")

        async def told() -> bool:
            rows = await stored(broker.database, plugin_faults)
            return {row["at"] for row in rows if row["process"] == OWN} == {clock.now()}

        for _ in range(25):
            await until(told)
            clock.advance(faults.SAID_EVERY)
        await until(told)
        assert await red() == {OWN}
        assert await processes(broker) == {OWN, "gone.example:1"}
    async with open_broker(settings, clock, server=True) as broker:
        assert await processes(broker) == set()


async def test_a_command_keeps_no_faults(migrated_sqlite: str) -> None:
    settings = Settings(database_url=migrated_sqlite, secret_keys=(KEY,))
    async with open_broker(settings) as broker:
        broker.plugins.went_off("mine", "zekt_block_reason")
        assert await processes(broker) == set()
