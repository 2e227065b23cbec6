"""What a process has begun when it is told to stop."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from zekt_bot.app import open_broker
from zekt_bot.config import Settings
from zekt_bot.db import processes


async def test_it_is_ended_while_there_still_is_a_database(migrated_sqlite: str) -> None:
    async with open_broker(Settings(database_url=migrated_sqlite)) as broker:

        async def work() -> None:
            await asyncio.sleep(0.3)
            await broker.database.query(processes.known)

        begun = broker.under_way.once("work", work)
        assert broker.under_way.once("work", work) is begun
    assert begun.done()
    assert begun.exception() is None


async def test_for_what_does_not_end_no_process_waits_longer_than_it_may(
    migrated_sqlite: str,
) -> None:
    free = asyncio.Event()

    async def work() -> None:
        await free.wait()

    brief = Settings(database_url=migrated_sqlite, shutdown_timeout=timedelta(seconds=0.1))
    async with asyncio.timeout(60):
        async with open_broker(brief) as broker:
            begun = broker.under_way.once("work", work)
    assert not begun.done()
    free.set()
    await begun
