"""Engines for SQLite and PostgreSQL, made from one `DATABASE_URL`."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import NullPool

from zekt_bot.db import libpq
from zekt_bot.db.driver import command
from zekt_bot.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncpg
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

_BUSY_TIMEOUT_MS = 5000
_COMMAND_SECONDS = 30
_POOL_SECONDS = 5
_LOCK_MS = 4000
# What the planner takes an index's page to cost; one in sequence is 1. A kept plan outlives its
# table's growth: made while that was small, it would read all of it for each row.
_RANDOM_PAGE = 0.1
# Else a crash of PostgreSQL would lose what was acknowledged, as with SQLite's `synchronous`.
_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', {local})"
    " WHERE current_setting('synchronous_commit') = 'off'"
)
_STATEMENTS = 300  # prepared ones that a connection keeps: about a hundred are asked all the time
_SQLITE = {"sqlite", "sqlite+aiosqlite", "sqlite+pysqlite"}
_POSTGRESQL = {"postgres", "postgresql", "postgresql+asyncpg"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is: `path` on SQLite, `options` for `libpq.connect` on PostgreSQL.

    `shown` has no password. `pooled`: PgBouncer in transaction mode stands before it.
    """

    shown: str
    path: Path | None = None
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    pooled: bool = False


def parse(database_url: str, *, pooled: bool = False) -> Address:
    """Read a `DATABASE_URL`.

    `pooled`: behind PgBouncer, whose server connection is another one in each transaction. So no
    prepared statement outlives its own: asyncpg then uses unnamed ones, which leave nothing behind.

    Raises:
        ConfigurationError: naming what cannot be used.
    """
    scheme = database_url.partition("://")[0]
    if scheme in _POSTGRESQL:
        options = libpq.options(database_url)
        options["statement_cache_size"] = 0 if pooled else _STATEMENTS
        return Address(libpq.shown(options), options=options, pooled=pooled)
    if scheme not in _SQLITE:
        raise ConfigurationError(libpq.UNREADABLE)
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(libpq.UNREADABLE) from None
    name = url.database
    if not name or name == ":memory:":
        raise ConfigurationError("DATABASE_URL names no file: write sqlite:///PATH.")
    if url.query:
        raise ConfigurationError(
            f"DATABASE_URL has parameters that SQLite's does not take: {', '.join(url.query)}."
        )
    path = Path(name).absolute()
    return Address(str(path), path)


def sqlite(path: Path, *, reading: bool = False) -> Engine:
    """Connections to the file, each made when it is wanted: WAL, every commit synced to the disk.

    `reading`: no transactions, as on PostgreSQL; such a connection never waits for the writer.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)), poolclass=NullPool, hide_parameters=True
    )
    _prepare(engine, "PRAGMA query_only = ON" if reading else "")
    if not reading:

        @event.listens_for(engine, "begin")
        def begun(connection: Connection) -> None:
            command(connection, "BEGIN IMMEDIATE")

    return engine


def postgresql(address: Address, *, size: int, reading: bool = False) -> AsyncEngine:
    """`size` connections to PostgreSQL, kept; with 0 each is made when it is wanted.

    `reading`: no transactions, whose begin and end would be two more round trips. Each statement
    sees what is committed when it begins, as it would in one (READ COMMITTED).
    """
    # Here: it loads all of the ORM, a sixth of a start's time, which on SQLite nobody needs.
    from sqlalchemy.ext.asyncio import create_async_engine

    kept: dict[str, Any] = {"poolclass": NullPool}
    if size:
        kept = {"pool_size": size, "max_overflow": 0, "pool_timeout": _POOL_SECONDS}
    made = create_async_engine(
        "postgresql+asyncpg://",
        connect_args={
            "async_creator_fn": partial(_patient if not size else _bounded, address),
            "prepared_statement_cache_size": address.options["statement_cache_size"],
        },
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",  # we say BEGIN ourselves
        **kept,
    )
    if not reading:
        _say_transactions(made.sync_engine, _begin(address) if size else "BEGIN")
    return made


async def _patient(address: Address) -> asyncpg.Connection:
    """For the schema: its statements take as long as they take."""
    return await libpq.connect({**address.options, "command_timeout": None})


async def _bounded(address: Address) -> asyncpg.Connection:
    """A connection that asks indexes, waits for no lock so long that GitHub would hear nothing, and
    hears of a commit when it is on the disk.

    Behind PgBouncer no plan is kept.
    """
    connection = await libpq.connect({**address.options, "command_timeout": _COMMAND_SECONDS})
    if not address.pooled:
        try:
            await connection.execute(
                f"SET lock_timeout = {_LOCK_MS}; SET random_page_cost = {_RANDOM_PAGE};"
                + _DURABLE.format(local="false")
            )
        except BaseException:  # whoever asked for it never had it, and cannot close it
            connection.terminate()
            raise
    return connection


def _begin(address: Address) -> str:
    """Behind PgBouncer a setting holds for one transaction; a longer one would be a stranger's."""
    if not address.pooled:
        return "BEGIN"
    return f"BEGIN; SET LOCAL lock_timeout = {_LOCK_MS}; {_DURABLE.format(local='true')}"


def _say_transactions(engine: Engine, begin: str) -> None:
    """Begin and end transactions by asyncpg's own connection, on which `Prepared` sends."""

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        command(connection, begin)

    @event.listens_for(engine, "commit")
    def committing(connection: Connection) -> None:
        command(connection, "COMMIT")

    @event.listens_for(engine, "rollback")
    def rolling_back(connection: Connection) -> None:
        if connection.invalidated:
            return
        try:
            command(connection, "ROLLBACK")
        except (DBAPIError, OSError) as error:  # its end is a rollback too
            connection.invalidate(error)


def _prepare(engine: Engine, last: str) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout = {_BUSY_TIMEOUT_MS}",
            "synchronous = FULL",
            "foreign_keys = ON",
            "wal_autocheckpoint = 4000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        _write_ahead(cursor)
        cursor.execute(last)
        cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Two who switch a new file to WAL at once: SQLite refuses one, whatever busy_timeout says."""
    give_up = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)
