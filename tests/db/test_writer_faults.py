"""What a caller of the writer is told when the database fails, and that it recovers."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from tests import databases
from tests.db.proxy import Proxy, Way, proxy_before
from tests.db.rows import settings_for, stored
from zekt_bot.db.database import open_database
from zekt_bot.db.tables import chores, principals
from zekt_bot.errors import OutcomeUnknown, StorageUnavailable
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database
    from zekt_bot.testing import ManualClock


class Add:
    """Stores one chore a name, and counts how often each was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, connection: Connection, names: Sequence[str]) -> Sequence[str]:
        self.asked += names
        connection.execute(insert(chores), [{"name": name, "due_at": START} for name in names])
        return names


def pragma(connection: Connection, rows: Sequence[str]) -> list[int]:
    return [int(connection.execute(text(f"PRAGMA {row}")).scalar_one()) for row in rows]


def store_much(connection: Connection, rows: Sequence[str]) -> Sequence[str]:
    values = [{"id": row, "name": "x" * 200_000, "first_seen_at": START} for row in rows]
    connection.execute(insert(principals), values)
    return rows


async def names(database: Database) -> list[str]:
    return [row["name"] for row in await stored(database, chores)]


async def fails(database: Database, fn: Any, *rows: str) -> list[type[BaseException]]:
    """The error that each of the calls, made at once, was answered with."""
    answers: list[Any] = await asyncio.gather(
        *(database.write(fn, row) for row in rows), return_exceptions=True
    )
    return [type(answer) for answer in answers]


@pytest.fixture
def locked(migrated_sqlite: str) -> contextlib.closing[sqlite3.Connection]:
    """Another connection to the file; it begins and ends its transactions as told."""
    path = urlsplit(migrated_sqlite).path
    return contextlib.closing(sqlite3.connect(path, isolation_level=None))


async def test_a_database_locked_for_too_long_stores_nothing_and_recovers(
    sqlite: Database, locked: contextlib.closing[sqlite3.Connection]
) -> None:
    await sqlite.write(pragma, "busy_timeout = 50")
    add = Add()
    with locked as other:
        other.execute("BEGIN EXCLUSIVE")
        assert await fails(sqlite, add, "a", "b") == [StorageUnavailable] * 2
        with pytest.raises(StorageUnavailable, match="locked"):
            await sqlite.write(add, "c")
        other.execute("ROLLBACK")
    assert add.asked == []
    assert await sqlite.write(add, "next") == "next"
    assert await names(sqlite) == ["next"]


async def test_a_locked_database_is_waited_for_and_stops_nobody_else(
    sqlite: Database, locked: contextlib.closing[sqlite3.Connection]
) -> None:
    with locked as other:
        other.execute("BEGIN EXCLUSIVE")
        waiting = asyncio.create_task(sqlite.write(Add(), "patient"))
        for _ in range(5):
            assert await names(sqlite) == []
        assert not waiting.done()
        other.execute("ROLLBACK")
        assert await waiting == "patient"


async def test_a_full_disk_stores_nothing_and_recovers(sqlite: Database) -> None:
    (limit,) = [await sqlite.write(pragma, "max_page_count = 1")]
    assert limit > 1
    assert await fails(sqlite, store_much, "a", "b") == [StorageUnavailable] * 2
    with pytest.raises(StorageUnavailable, match="full"):
        await sqlite.write(store_much, "c")
    assert await stored(sqlite, principals) == []
    await sqlite.write(pragma, "max_page_count = 1000000")
    assert await sqlite.write(store_much, "next") == "next"


async def test_a_backend_gone_before_commit_stores_nothing_and_recovers(
    postgres: Database, migrated_postgres: str
) -> None:
    add = Add()

    def add_and_lose(connection: Connection, rows: Sequence[str]) -> Sequence[str]:
        add(connection, rows)
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        databases.execute(migrated_postgres, f"SELECT pg_terminate_backend({pid}, 5000)")
        return add(connection, ["never"])

    assert await fails(postgres, add_and_lose, "a", "b") == [StorageUnavailable] * 2
    assert add.asked == ["a", "b", "never"] * 2, "it is tried on a new connection, once"
    assert await postgres.write(add, "next") == "next"
    assert await names(postgres) == ["next"]


async def test_connections_that_were_cut_while_unused_are_replaced_and_nobody_hears_of_it(
    postgres: Database, migrated_postgres: str
) -> None:
    add = Add()
    await asyncio.gather(postgres.write(add, "before"), *(names(postgres) for _ in range(20)))
    cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    databases.execute(
        migrated_postgres, f"{cut} WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert await postgres.write(add, "after") == "after"
    found = await asyncio.gather(*(names(postgres) for _ in range(20)))
    assert found == [["after", "before"]] * 20 or found == [["before", "after"]] * 20


@pytest.fixture
async def proxy(migrated_postgres: str) -> AsyncIterator[Proxy]:
    """A wire to a migrated PostgreSQL database."""
    async with proxy_before(migrated_postgres) as opened:
        yield opened


@pytest.fixture
async def remote(proxy: Proxy, clock: ManualClock) -> AsyncIterator[Database]:
    """The database at the end of the wire."""
    async with open_database(settings_for(proxy.url), clock) as opened:
        yield opened


@pytest.mark.parametrize(("way", "kept"), [("to_server", []), ("to_client", ["a", "b"])])
async def test_a_connection_lost_at_commit_is_unknown_and_is_not_run_again(
    remote: Database, proxy: Proxy, way: Way, kept: list[str]
) -> None:
    add = Add()
    proxy.lose_commit = way
    assert await fails(remote, add, "a", "b") == [OutcomeUnknown] * 2
    assert proxy.lose_commit is None
    assert await remote.write(add, "next") == "next"
    assert add.asked == ["a", "b", "next"]
    assert await names(remote) == [*kept, "next"]


async def test_of_rows_that_are_awaited_together_each_is_told_that_it_is_unknown(
    remote: Database, proxy: Proxy
) -> None:
    add = Add()
    proxy.lose_commit = "to_client"
    answers = await remote.write_all(add, [("a", 1), ("b", 1)])
    assert [type(answer) for answer in answers] == [OutcomeUnknown] * 2
    assert add.asked == ["a", "b"], "it is not run again"
    assert await names(remote) == ["a", "b"]


async def test_a_server_out_of_reach_stores_nothing_until_it_is_back(
    remote: Database, proxy: Proxy
) -> None:
    add = Add()
    await proxy.close()
    assert await fails(remote, add, "a", "b") == [StorageUnavailable] * 2
    with pytest.raises(StorageUnavailable):
        await names(remote)
    await proxy.open()
    assert await remote.write(add, "next") == "next"
    assert await names(remote) == ["next"]


async def test_a_server_that_takes_no_connections_stores_nothing_until_it_does(
    postgres: Database, postgres_server: str, migrated_postgres: str
) -> None:
    add = Add()
    name = Path(urlsplit(migrated_postgres).path).name
    databases.execute(
        postgres_server,
        f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'",
    )
    assert await fails(postgres, add, "a", "b") == [StorageUnavailable] * 2
    with pytest.raises(StorageUnavailable):
        await names(postgres)
    databases.execute(postgres_server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert await postgres.write(add, "next") == "next"
    assert await names(postgres) == ["next"]


async def test_a_read_only_server_stores_nothing(postgres: Database) -> None:
    def forbid(connection: Connection, rows: Sequence[str]) -> Sequence[str]:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        return Add()(connection, rows)

    assert await fails(postgres, forbid, "a", "b") == [StorageUnavailable] * 2
    assert await postgres.write(Add(), "next") == "next"


async def test_a_row_that_is_a_mistake_is_not_taken_for_a_fault(database: Database) -> None:
    def ask(connection: Connection, rows: Sequence[str]) -> list[int]:
        return [int(connection.execute(text(f"SELECT {row}")).scalar_one()) for row in rows]

    writes = [database.write(ask, row) for row in ("1", "no_such_column", "3")]
    first, mistake, last = await asyncio.gather(*writes, return_exceptions=True)
    assert (first, last) == (1, 3)
    assert isinstance(mistake, DBAPIError)


async def test_a_damaged_file_is_told_at_the_opening(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    path = Path(urlsplit(migrated_sqlite).path)
    with path.open("r+b") as file:
        file.write(b"something else entirely" * 100)
    with pytest.raises(StorageUnavailable):
        async with open_database(settings_for(migrated_sqlite), clock):
            pass
