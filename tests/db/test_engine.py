"""One DATABASE_URL becomes an address; its engines keep what they promise."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from sqlalchemy import Integer, bindparam, select, text

from tests import databases
from zekt_bot.db import engine
from zekt_bot.db.prepared import Prepared
from zekt_bot.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Engine]:
    """The writer's engine."""
    writer = engine.sqlite(path)
    try:
        yield writer
    finally:
        writer.dispose()


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite", "sqlite+pysqlite"])
def test_every_form_of_sqlite_names_the_file(scheme: str) -> None:
    address = engine.parse(f"{scheme}:////var/lib/zekt.db")
    assert address.path == Path("/var/lib/zekt.db")
    assert address.shown == "/var/lib/zekt.db"


def test_a_relative_file_is_made_absolute() -> None:
    assert engine.parse("sqlite:///./zekt.db").path == Path.cwd() / "zekt.db"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_every_form_of_postgresql_is_the_same_address(scheme: str) -> None:
    address = engine.parse(f"{scheme}://ann:pass@db.example:5433/zekt")
    assert address.path is None
    assert address == engine.parse("postgres://ann:pass@db.example:5433/zekt")


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("", "sqlite:///PATH"),
        ("zekt.db", "sqlite:///PATH"),
        ("mysql://root:hidden@host/zekt", "sqlite:///PATH"),
        ("sqlite://host:port/zekt", "sqlite:///PATH"),
        ("sqlite://", "no file"),
        ("sqlite:///:memory:", "no file"),
        ("sqlite:///zekt.db?mode=ro&key=hidden", "mode, key"),
    ],
)
def test_what_cannot_be_used_is_refused_and_named(url: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        engine.parse(url)
    assert named in str(refused.value)
    assert "hidden" not in str(refused.value)


def test_the_password_is_never_shown() -> None:
    address = engine.parse("postgres://ann:hunter2@db.example/zekt?sslmode=require")
    assert address.shown == "postgresql://ann@db.example:5432/zekt"
    assert "hunter2" not in repr(address)


@pytest.mark.parametrize("name", PRAGMAS)
def test_the_writer_is_durable(name: str, tmp_path: Path) -> None:
    with writing(tmp_path / "zekt.db") as writer, writer.begin() as connection:
        assert connection.execute(text(f"PRAGMA {name}")).scalar_one() == PRAGMAS[name]


@pytest.mark.parametrize("name", PRAGMAS)
def test_every_reader_is_set_up_like_the_writer(name: str, tmp_path: Path) -> None:
    readers = engine.sqlite(tmp_path / "zekt.db", reading=True)
    try:
        with readers.connect() as first, readers.connect() as second:
            for connection in (first, second):
                found = connection.execute(text(f"PRAGMA {name}"))
                assert found.scalar_one() == PRAGMAS[name]
    finally:
        readers.dispose()


def test_a_new_file_that_somebody_else_prepares_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "zekt.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with contextlib.closing(other), writing(path) as writer:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.2, other.execute, ["ROLLBACK"])
        release.start()
        with writer.begin() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
        release.join()


_SAME = Prepared(select(bindparam("n", type_=Integer)))


async def prepared(address: engine.Address) -> int:
    """How many prepared statements are left after a few transactions on one connection."""
    kept = engine.postgresql(address, size=1)
    try:
        for number in range(3):
            async with kept.begin() as connection:
                await connection.execute(text("SELECT CAST(:n AS integer)"), {"n": number})
                await connection.run_sync(_SAME.run, {"n": number})
        async with kept.connect() as connection:
            found = await connection.execute(text("SELECT count(*) FROM pg_prepared_statements"))
            return int(found.scalar_one())
    finally:
        await kept.dispose()


async def test_behind_a_pooler_no_prepared_statement_is_left(migrated_postgres: str) -> None:
    assert await prepared(engine.parse(migrated_postgres)) > 0
    assert await prepared(engine.parse(migrated_postgres, pooled=True)) == 0


async def test_what_failed_is_told_though_its_connection_cannot_roll_back(
    migrated_postgres: str,
) -> None:
    kept = engine.postgresql(engine.parse(migrated_postgres), size=1)

    async def fail() -> None:
        async with kept.begin() as connection:
            raw = await connection.get_raw_connection()
            assert raw.driver_connection is not None
            await raw.driver_connection.close()
            raise KeyError

    try:
        with pytest.raises(KeyError):
            await fail()
        async with kept.begin() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1
    finally:
        await kept.dispose()


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(("given", "held"), [("off", "on"), ("remote_write", "remote_write")])
async def test_a_commit_is_on_the_disk_whatever_the_server_is_set_to(
    migrated_postgres: str, postgres_server: str, pooled: bool, given: str, held: str
) -> None:
    name = urlsplit(migrated_postgres).path.lstrip("/")
    databases.execute(postgres_server, f"ALTER DATABASE {name} SET synchronous_commit = {given}")
    kept = engine.postgresql(engine.parse(migrated_postgres, pooled=pooled), size=1)
    try:
        for _ in range(2):  # a pooler's next transaction may be on another connection
            async with kept.connect() as connection, connection.begin():
                found = await connection.execute(text("SHOW synchronous_commit"))
                assert found.scalar_one() == held
    finally:
        await kept.dispose()


@pytest.mark.parametrize("pooled", [False, True])
async def test_every_transaction_waits_a_bounded_time_for_locks(
    migrated_postgres: str, pooled: bool
) -> None:
    kept = engine.postgresql(engine.parse(migrated_postgres, pooled=pooled), size=1)
    try:
        async with kept.begin() as connection:
            found = await connection.execute(text("SHOW lock_timeout"))
            assert found.scalar_one() == "4s"
    finally:
        await kept.dispose()


@pytest.mark.parametrize("reading", [False, True])
async def test_a_plan_made_while_a_table_was_small_does_not_read_all_of_it_later(
    migrated_postgres: str, reading: bool
) -> None:
    kept = engine.postgresql(engine.parse(migrated_postgres), size=1, reading=reading)
    try:
        async with kept.connect() as connection:
            for statement in (
                "INSERT INTO lanes (name, tokens, refilled_at) VALUES ('one', 1, now())",
                "ANALYZE lanes",
                "PREPARE wake AS UPDATE lanes SET tokens = 2 WHERE name = $1",
                "SET plan_cache_mode = force_generic_plan",
            ):
                await connection.execute(text(statement))
            found = await connection.execute(text("EXPLAIN EXECUTE wake ('one')"))
            plan = "\n".join(found.scalars())
        assert "Index Scan using pk_lanes" in plan
    finally:
        await kept.dispose()


async def test_behind_a_pooler_a_connection_keeps_no_setting(migrated_postgres: str) -> None:
    kept = engine.postgresql(engine.parse(migrated_postgres, pooled=True), size=1)
    try:
        async with kept.begin() as connection:
            raw = await connection.get_raw_connection()
            driver = raw.driver_connection
        assert driver is not None
        assert await driver.fetchval("SHOW lock_timeout") == "0"
    finally:
        await kept.dispose()
