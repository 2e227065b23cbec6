"""The migrations make the tables that `tables` describes, whoever runs them and how often."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, insert, inspect, select, text

from tests import databases
from tests.db.processes import all_at_once
from tests.db.proxy import proxy_before
from tests.db.rows import inbox_row, put_inbox, settings_for, stored
from zekt_bot.db import engine, schema
from zekt_bot.db.database import Database, open_database
from zekt_bot.db.tables import inbox, metadata
from zekt_bot.errors import ConfigurationError, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Column, Connection, Table

    from zekt_bot.testing import ManualClock

Answer = TypeVar("Answer")
_IMPORTS = "import asyncio\nfrom zekt_bot.db import engine, schema"
_SCRIPTS = ScriptDirectory.from_config(schema.config())
_FORMER = sorted(script.revision for script in _SCRIPTS.walk_revisions())[:-1]
_MIGRATE = "asyncio.run(schema.migrate(engine.parse(sys.argv[1])))"


async def look(url: str, fn: Callable[[Connection], Answer]) -> Answer:
    """Run `fn` on a connection to the database of `url`, and commit."""
    address = engine.parse(url)
    if address.path:
        local = engine.sqlite(address.path)
        try:
            with local.begin() as connection:
                return fn(connection)
        finally:
            local.dispose()
    remote = engine.postgresql(address, size=0)
    async with remote.begin() as opened:
        return await opened.run_sync(fn)


def differences(connection: Connection) -> list[Any]:
    """What Alembic would migrate to come from this database to `tables`."""
    options = {"compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def described(connection: Connection) -> dict[str, Any]:
    """Every table: more than Alembic compares (primary keys, conditions of indexes)."""
    seen = inspect(connection)
    return {
        table: {
            "columns": sorted(  # what a migration adds stands last
                (column["name"], str(column["type"]), column["nullable"], column["default"] or "")
                for column in seen.get_columns(table)
            ),
            "key": seen.get_pk_constraint(table),
            "unique": sorted(map(repr, seen.get_unique_constraints(table))),
            "foreign": sorted(map(repr, seen.get_foreign_keys(table))),
            "indexes": sorted(_index(each) for each in seen.get_indexes(table)),
        }
        for table in seen.get_table_names()
        if table != "alembic_version"
    }


def _index(index: Any) -> str:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return f"{index['name']} {index['column_names']} {index['unique']} {sorted(options.items())}"


def _upgrade_to(connection: Connection, revision: str) -> None:
    command.upgrade(schema.config(connection), revision)


def _tables(connection: Connection) -> list[Table]:
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def _fill(connection: Connection) -> None:
    """Two rows in every table; those of the same number refer to each other."""
    for table in _tables(connection):
        for number in (1, 2):
            row = {column.name: _value(column, number) for column in table.columns}
            connection.execute(insert(table).values(row))


def _value(column: Column[Any], number: int) -> Any:
    kind = column.type.python_type
    made = {
        str: f"row-{number}",
        int: number,
        bool: True,
        bytes: b"sealed",
        float: 0.5,
        datetime: datetime(2026, 1, number, tzinfo=UTC),
    }
    return made[kind]


def _rows(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    return {
        table.name: [
            dict(row)
            for row in connection.execute(
                select(table).order_by(*table.primary_key.columns)
            ).mappings()
        ]
        for table in _tables(connection)
    }


def _of(former: list[dict[str, Any]], row: dict[str, Any]) -> dict[str, Any]:
    """What a row still has of the columns that it had."""
    return {name: row[name] for name in former[0]}


async def test_alembic_finds_nothing_left_to_migrate(migrated_url: str) -> None:
    assert await look(migrated_url, differences) == []


async def test_the_migrations_make_the_tables_described_on_sqlite(
    migrated_sqlite: str, tmp_path: Path
) -> None:
    plain = f"sqlite:///{tmp_path / 'plain.db'}"
    await look(plain, metadata.create_all)
    assert await look(migrated_sqlite, described) == await look(plain, described)


async def test_the_migrations_make_the_tables_described_on_postgresql(
    migrated_postgres: str, postgres_server: str
) -> None:
    with databases.fresh_database(postgres_server) as plain:
        await look(plain, metadata.create_all)
        assert await look(migrated_postgres, described) == await look(plain, described)


async def test_a_database_is_current_once_it_is_migrated(database_url: str) -> None:
    assert not await look(database_url, schema.is_current)
    await schema.migrate(engine.parse(database_url))
    assert await look(database_url, schema.is_current)


async def test_migrating_again_keeps_everything(migrated_url: str, clock: ManualClock) -> None:
    async with open_database(settings_for(migrated_url), clock) as database:
        await put_inbox(database, inbox_row(1))
        before = await look(migrated_url, described), await stored(database, inbox)
        await database.migrate()
        assert (await look(migrated_url, described), await stored(database, inbox)) == before
        assert await database.schema_is_current()


async def test_a_later_versions_tables_are_left_alone_with_the_cure(
    migrated_url: str, clock: ManualClock
) -> None:
    later = "UPDATE alembic_version SET version_num = '9999'"
    await look(migrated_url, lambda connection: connection.execute(text(later)))
    try:
        with pytest.raises(ConfigurationError, match=r"revision 9999.*start that version"):
            async with open_database(settings_for(migrated_url), clock):
                pass
        with pytest.raises(ConfigurationError, match=r"revision 9999.*restore the backup"):
            await schema.migrate(engine.parse(migrated_url))
    finally:  # the same PostgreSQL database serves one test after the other
        newest = f"UPDATE alembic_version SET version_num = '{_SCRIPTS.get_current_head()}'"
        await look(migrated_url, lambda connection: connection.execute(text(newest)))


async def test_behind_a_pooler_the_migrations_go_to_postgresql_itself(
    postgres_url: str, clock: ManualClock
) -> None:
    async with proxy_before(postgres_url) as pooler:
        await pooler.close()
        settings = replace(
            settings_for(pooler.url), pgbouncer=True, direct_database_url=postgres_url
        )
        database = Database(settings, clock)
        await database.migrate()
        await database.close()
    assert await look(postgres_url, schema.is_current)


@pytest.mark.parametrize("former", _FORMER)
async def test_a_former_version_s_rows_outlive_upgrades_at_once(
    database_url: str, former: str
) -> None:
    await look(database_url, lambda connection: _upgrade_to(connection, former))
    await look(database_url, _fill)
    before = await look(database_url, _rows)
    assert all(before.values()), "every table has a row"

    all_at_once(4, _IMPORTS, _MIGRATE, database_url)

    after = await look(database_url, _rows)
    assert {table: [_of(before[table], row) for row in after[table]] for table in before} == before
    assert await look(database_url, differences) == []


@pytest.mark.parametrize("former", _FORMER)
async def test_a_migration_only_adds(database_url: str, former: str) -> None:
    """So the version before works on, reads and writes, while the new one is rolled out."""
    await look(database_url, lambda connection: _upgrade_to(connection, former))
    before = await look(database_url, described)
    await look(database_url, lambda connection: _upgrade_to(connection, "+1"))
    after = await look(database_url, described)
    for table, had in before.items():
        has = after[table]
        assert set(had["columns"]) <= set(has["columns"])
        added = set(has["columns"]) - set(had["columns"])
        assert all(nullable or default for _, _, nullable, default in added)
        assert had["key"] == has["key"]
        assert set(had["indexes"]) <= set(has["indexes"])
        assert had["unique"] == has["unique"], "a new one would refuse what the former writes"


async def test_processes_that_migrate_at_once_do_not_collide(database_url: str) -> None:
    all_at_once(4, _IMPORTS, _MIGRATE, database_url)
    assert await look(database_url, schema.is_current)


async def test_a_server_that_does_not_answer_cannot_be_migrated(postgres_url: str) -> None:
    async with proxy_before(postgres_url) as proxy:
        await proxy.close()
        with pytest.raises(StorageUnavailable, match="cannot be migrated"):
            await schema.migrate(engine.parse(proxy.url))


async def test_a_file_that_is_no_database_cannot_be_migrated(sqlite_url: str) -> None:
    Path(urlsplit(sqlite_url).path).write_bytes(b"something else entirely" * 100)
    with pytest.raises(StorageUnavailable, match=r"zekt\.db cannot be migrated"):
        await schema.migrate(engine.parse(sqlite_url))


async def test_a_new_file_that_stays_locked_cannot_be_migrated(sqlite_url: str) -> None:
    other = sqlite3.connect(urlsplit(sqlite_url).path, isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailable, match="locked"):  # after 5 seconds
            await schema.migrate(engine.parse(sqlite_url))
    await schema.migrate(engine.parse(sqlite_url))
