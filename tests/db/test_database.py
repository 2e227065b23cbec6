"""Opening the database, being alone in it, reading from it, and knowing that it can store."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from tests.db.proxy import proxy_before
from tests.db.rows import KEY, inbox_row, put_inbox, settings_for, stored
from zekt_bot.config import Settings
from zekt_bot.db.database import Database, open_database
from zekt_bot.db.tables import inbox
from zekt_bot.errors import ConfigurationError, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from zekt_bot.testing import ManualClock


@contextlib.contextmanager
def no_file_may_grow(size: int) -> Iterator[None]:
    """Writing a file beyond `size` fails in this process, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def locked(url: str) -> Iterator[None]:
    """Another connection holds the file's write lock."""
    with contextlib.closing(sqlite3.connect(urlsplit(url).path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def wait_for_locks_shortly(connection: Connection, rows: Sequence[None]) -> Sequence[None]:
    connection.execute(text("PRAGMA busy_timeout = 50"))
    return rows


async def test_check_says_nothing_of_a_database_that_stores(
    database: Database, clock: ManualClock
) -> None:
    for _ in range(2):
        await database.check()
        clock.advance(timedelta(seconds=1))


async def test_check_raises_when_the_file_is_locked(sqlite: Database, migrated_sqlite: str) -> None:
    await sqlite.write(wait_for_locks_shortly, None)
    with locked(migrated_sqlite), pytest.raises(StorageUnavailable):
        await sqlite.check()
    await sqlite.check()


async def test_check_raises_when_the_disk_is_full(
    sqlite: Database, migrated_sqlite: str, clock: ManualClock
) -> None:
    await sqlite.check()
    log = Path(urlsplit(migrated_sqlite).path + "-wal")
    clock.advance(timedelta(seconds=1))
    with no_file_may_grow(log.stat().st_size), pytest.raises(StorageUnavailable):
        await sqlite.check()
    await sqlite.check()


async def test_check_raises_when_the_server_is_gone(
    migrated_postgres: str, clock: ManualClock
) -> None:
    async with (
        proxy_before(migrated_postgres) as proxy,
        open_database(settings_for(proxy.url), clock) as database,
    ):
        await proxy.close()
        with pytest.raises(StorageUnavailable):
            await database.check()
        await proxy.open()
        await database.check()


async def test_a_second_server_on_the_file_is_refused_and_leaves_it_alone(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    settings = settings_for(migrated_sqlite)
    async with open_database(settings, clock, alone=True) as first:
        with contextlib.closing(sqlite3.connect(urlsplit(migrated_sqlite).path)) as other:
            other.execute("DROP TABLE alembic_version")  # as if it were another version's
            other.commit()
        with pytest.raises(ConfigurationError, match=r"zekt\.db.* SQLite serves one process"):
            async with open_database(settings, clock, alone=True):
                pass
        await put_inbox(first, inbox_row(1))


async def test_a_server_may_follow_another(sqlite_url: str, clock: ManualClock) -> None:
    for _ in range(2):
        async with open_database(settings_for(sqlite_url), clock, alone=True) as database:
            await database.check()


async def test_a_command_writes_beside_a_running_server(
    sqlite_url: str, clock: ManualClock
) -> None:
    settings = settings_for(sqlite_url)
    async with open_database(settings, clock, alone=True) as server:
        async with open_database(settings, clock) as command:
            await put_inbox(command, inbox_row(1))
        await put_inbox(server, inbox_row(2))
        assert len(await stored(server, inbox)) == 2
        with pytest.raises(ConfigurationError):  # the command's end did not end the server's right
            async with open_database(settings, clock, alone=True):
                pass


async def test_any_number_of_servers_share_postgresql(
    migrated_postgres: str, clock: ManualClock
) -> None:
    settings = settings_for(migrated_postgres)
    async with (
        open_database(settings, clock, alone=True) as first,
        open_database(settings, clock, alone=True) as second,
    ):
        await put_inbox(first, inbox_row(1))
        await put_inbox(second, inbox_row(2))
        assert len(await stored(first, inbox)) == 2


def test_a_missing_folder_is_named(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(ConfigurationError, match=f"no folder {tmp_path / 'missing'}"):
        Database(Settings(database_url=f"sqlite:///{tmp_path}/missing/zekt.db"), clock)


async def test_a_new_sqlite_file_is_ready_with_a_key_of_its_own(
    sqlite_url: str, clock: ManualClock
) -> None:
    settings = Settings(database_url=sqlite_url)
    place = ("inbox", "raw", "inb_1")
    async with open_database(settings, clock) as database:
        assert await database.schema_is_current()
        sealed = database.keyring.seal(place, b"secret")
    async with open_database(settings, clock) as database:
        assert database.keyring.open(place, sealed) == b"secret"


async def test_postgresql_without_our_tables_is_refused_with_the_cure(
    postgres_url: str, clock: ManualClock
) -> None:
    with pytest.raises(ConfigurationError, match="zekt migrate"):
        async with open_database(settings_for(postgres_url), clock):
            pass
    database = Database(settings_for(postgres_url), clock)
    await database.migrate()
    await database.close()
    async with open_database(settings_for(postgres_url), clock) as opened:
        await opened.check()


@pytest.mark.parametrize("alone", [False, True])
async def test_a_server_that_does_not_answer_is_unavailable_from_the_start(
    alone: bool, migrated_postgres: str, clock: ManualClock
) -> None:
    async with proxy_before(migrated_postgres) as proxy:
        await proxy.close()
        with pytest.raises(StorageUnavailable):
            async with open_database(settings_for(proxy.url), clock, alone=alone):
                pass


async def test_what_cannot_be_read_is_unavailable(database: Database) -> None:
    with pytest.raises(StorageUnavailable):
        await database.query(lambda connection: connection.execute(text("SELECT * FROM nowhere")))
    assert await stored(database, inbox) == []


@pytest.mark.parametrize("keys", [("another key of the tests, long enough",)])
async def test_a_key_that_opens_nothing_here_is_refused(
    migrated_url: str, keys: tuple[str, ...], clock: ManualClock
) -> None:
    async with open_database(settings_for(migrated_url), clock):
        pass
    with pytest.raises(ConfigurationError, match="ZEKT_SECRET_KEY"):
        async with open_database(settings_for(migrated_url, *keys), clock):
            pass
    async with open_database(settings_for(migrated_url, *keys, KEY), clock):
        pass  # a new key before the old one


async def test_a_command_of_another_version_leaves_a_running_servers_file_alone(
    sqlite_url: str, clock: ManualClock
) -> None:
    async with open_database(settings_for(sqlite_url), clock, alone=True) as server:
        with (
            contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as file,
            file,
        ):
            file.execute("UPDATE alembic_version SET version_num = '0000'")
        with pytest.raises(ConfigurationError, match="another version"):
            async with open_database(settings_for(sqlite_url), clock):
                pass
        await server.check()


async def test_migrations_go_past_the_pooler(postgres_url: str, clock: ManualClock) -> None:
    nowhere = "postgresql://zekt@127.0.0.1:9/zekt"
    settings = replace(settings_for(nowhere), direct_database_url=postgres_url)
    database = Database(settings, clock)
    try:
        await database.migrate()
    finally:
        await database.close()
    async with open_database(settings_for(postgres_url), clock) as opened:
        assert await opened.schema_is_current()


async def test_a_direct_address_beside_sqlite_is_refused(
    sqlite_url: str, postgres_url: str, clock: ManualClock
) -> None:
    settings = replace(settings_for(sqlite_url), direct_database_url=postgres_url)
    with pytest.raises(ConfigurationError, match="ZEKT_DIRECT_DATABASE_URL is for PostgreSQL"):
        Database(settings, clock)
