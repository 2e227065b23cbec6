"""Whoever waits hears of other processes' commits, also after the line was cut."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests import databases
from tests.db.proxy import proxy_before
from tests.db.rows import inbox_row, listening_for, put, settings_for, until
from zekt_bot.db import units
from zekt_bot.db.database import open_database
from zekt_bot.db.tables import inbox
from zekt_bot.testing import ManualClock

if TYPE_CHECKING:
    from asyncio import Event
    from collections.abc import AsyncIterator, Iterator, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

SECOND = timedelta(seconds=1)
PING_WITHIN = timedelta(seconds=2)
PING_EVERY = timedelta(minutes=1)
KILL_LISTENERS = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
)


def wake(connection: Connection, rows: Sequence[str]) -> Sequence[str]:
    for topic in rows:
        units.wake(connection, topic)
    return rows


def add(connection: Connection, rows: Sequence[int]) -> Sequence[int]:
    put(connection, [(inbox, [inbox_row(number) for number in rows])])
    return rows


async def heard(event: Event, teller: Database, topic: str = "inbox") -> None:
    """Commit in the other process until the event is set: a listener may still be connecting."""

    async def told() -> bool:
        await teller.write(wake, topic)
        return event.is_set()

    await until(told)


async def pausing(clock: ManualClock, for_: timedelta = SECOND) -> None:
    """Return when the listener has had its turn and waits for the next."""

    async def waits() -> bool:
        return clock.waiting_until == [clock.now() + for_]

    await until(waits)


async def listens(database: Database) -> None:
    """Return when the listener has heard what it told itself."""

    async def hears() -> bool:
        return database.hears is True

    await until(hears)


async def is_set(event: Event) -> None:
    async def held() -> bool:
        return event.is_set()

    await until(held)


@pytest.fixture
async def neighbour(migrated_postgres: str) -> AsyncIterator[Database]:
    """PostgreSQL as another process has it."""
    async with open_database(settings_for(migrated_postgres), ManualClock()) as opened:
        yield opened


async def test_postgresql_tells_at_once_and_only_whom_it_concerns(
    neighbour: Database, migrated_postgres: str, clock: ManualClock
) -> None:
    async with open_database(settings_for(migrated_postgres), clock, alone=True) as listening:
        inbox_news, runs_news = listening_for(listening, "inbox"), listening_for(listening, "runs")
        await heard(inbox_news, neighbour)
        assert not runs_news.is_set()
        await heard(runs_news, neighbour, "runs")
    assert clock.waiting_until == []


async def test_a_killed_connection_comes_back_and_nothing_is_missed(
    neighbour: Database, migrated_postgres: str, clock: ManualClock
) -> None:
    async with open_database(settings_for(migrated_postgres), clock, alone=True) as listening:
        news = listening_for(listening, "inbox")
        await listens(listening)
        await heard(news, neighbour)
        news.clear()
        databases.execute(migrated_postgres, KILL_LISTENERS)
        await is_set(news)  # a commit may have gone unheard: look
        news.clear()
        await neighbour.write(wake, "inbox")
        assert not news.is_set()
        await pausing(clock)
        clock.advance(SECOND)
        await heard(news, neighbour)


async def test_a_server_out_of_reach_is_tried_each_second(
    neighbour: Database, migrated_postgres: str, clock: ManualClock
) -> None:
    async with (
        proxy_before(migrated_postgres) as proxy,
        open_database(settings_for(proxy.url), clock, alone=True) as listening,
    ):
        news = listening_for(listening, "inbox")
        await heard(news, neighbour)
        await listens(listening)
        await proxy.close()
        for _ in range(3):
            await pausing(clock)
            assert listening.hears is False
            clock.advance(SECOND)
            assert clock.waiting_until == []
        await pausing(clock)
        await proxy.open()
        news.clear()
        clock.advance(SECOND)
        await heard(news, neighbour)


@pytest.fixture
def elsewhere(postgres_server: str) -> Iterator[str]:
    """Another database: LISTEN succeeds there, and nothing is ever heard, as behind PgBouncer."""
    with databases.fresh_database(postgres_server) as url:
        yield url


async def test_a_listener_that_hears_nothing_looks_each_second_and_says_so_once(
    migrated_postgres: str, elsewhere: str, clock: ManualClock
) -> None:
    deaf = replace(settings_for(migrated_postgres), direct_database_url=elsewhere)
    with capture_logs() as logs:
        async with open_database(deaf, clock, alone=True) as listening:
            news = listening_for(listening, "inbox")
            for _ in range(2):  # at the start, and a minute later
                await pausing(clock, PING_WITHIN)
                clock.advance(PING_WITHIN)
                for _ in range(60):
                    await pausing(clock)
                    assert listening.hears is False
                    news.clear()
                    clock.advance(SECOND)
                    await is_set(news)
    (said,) = [line for line in logs if line["event"].startswith("listener")]
    assert (said["event"], said["log_level"]) == ("listener.deaf", "warning")


async def test_a_listener_that_went_deaf_is_found_within_a_minute_and_comes_back(
    neighbour: Database, migrated_postgres: str, clock: ManualClock
) -> None:
    async with (
        proxy_before(migrated_postgres) as proxy,
        open_database(
            replace(settings_for(migrated_postgres), direct_database_url=proxy.url),
            clock,
            alone=True,
        ) as listening,
    ):
        await listens(listening)
        proxy.silent = True  # the connection stands, and nothing comes over it
        await pausing(clock, PING_EVERY)
        clock.advance(PING_EVERY)
        await pausing(clock, PING_WITHIN)
        clock.advance(PING_WITHIN)
        await pausing(clock)
        assert listening.hears is False
        proxy.silent = False
        for _ in range(60):
            await pausing(clock)
            clock.advance(SECOND)
        await listens(listening)
        news = listening_for(listening, "inbox")
        await neighbour.write(wake, "inbox")
        await is_set(news)


async def test_sqlite_is_looked_at_each_second(migrated_sqlite: str, clock: ManualClock) -> None:
    settings = settings_for(migrated_sqlite)
    async with (
        open_database(settings, clock, alone=True) as listening,
        open_database(settings, ManualClock()) as command,
    ):
        every = [listening_for(listening, topic) for topic in ("inbox", "runs", "deliveries")]
        await pausing(clock)
        for number in (1, 2):
            await command.write(add, number)
            assert not any(event.is_set() for event in every)
            clock.advance(SECOND)
            for event in every:
                await is_set(event)
                event.clear()
            await pausing(clock)
        clock.advance(SECOND)
        await pausing(clock)
        assert not any(event.is_set() for event in every)  # nothing new since


async def test_sqlite_wakes_nobody_when_nothing_was_written(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    async with open_database(settings_for(migrated_sqlite), clock, alone=True) as listening:
        news = listening_for(listening, "inbox")
        for _ in range(4):
            news.clear()  # at first it may hear of the opening itself
            await pausing(clock)
            clock.advance(SECOND)
        await pausing(clock)
        assert not news.is_set()
    assert clock.waiting_until == []  # closing ended the listener
