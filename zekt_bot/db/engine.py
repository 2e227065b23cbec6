"""Engines for SQLite and PostgreSQL, made from one `DATABASE_URL`."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, StaticPool

from zekt_bot.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import Connection

_BUSY_TIMEOUT_MS = 5000
_CONNECT_SECONDS = 10
_COMMAND_SECONDS = 30
_SSL_MODES = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is. `path` is set for SQLite only."""

    url: URL
    path: Path | None

    @property
    def shown(self) -> str:
        """The address without its password."""
        return str(self.path) if self.path else self.url.render_as_string(hide_password=True)


def parse(database_url: str) -> Address:
    """Read a `DATABASE_URL`.

    Raises:
        ConfigurationError: naming what cannot be used.
    """
    try:
        url = make_url(database_url)
        known = url.get_backend_name() in {"sqlite", "postgres", "postgresql"}
    except (ArgumentError, ValueError):
        known = False
    if not known:
        raise ConfigurationError(
            "DATABASE_URL cannot be read: write sqlite:///PATH or "
            "postgresql://USER:PASSWORD@HOST/NAME."
        )
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ConfigurationError("DATABASE_URL names no file: write sqlite:///PATH.")
        return Address(url, Path(url.database).absolute())
    query = dict(url.query)
    mode = query.pop("sslmode", None)
    if query:
        raise ConfigurationError(
            f"DATABASE_URL has parameters that Zekt does not know: {', '.join(sorted(query))}."
        )
    if mode is not None and mode not in _SSL_MODES:
        raise ConfigurationError(f"sslmode must be one of {', '.join(sorted(_SSL_MODES))}.")
    url = url.set(drivername="postgresql+asyncpg", query={"ssl": mode} if mode else {})
    return Address(url, None)


def sqlite_writer(path: Path) -> Engine:
    """The one writing connection of this process: WAL, every commit synced to the disk."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=StaticPool,
        connect_args={"check_same_thread": False},
        hide_parameters=True,
    )
    _prepare(engine, "BEGIN IMMEDIATE")
    return engine


def sqlite_reader(path: Path) -> AsyncEngine:
    """Reading connections, which never wait for the writer."""
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=4,
        hide_parameters=True,
    )
    _prepare(engine.sync_engine, "BEGIN")
    return engine


def postgresql(url: URL, *, size: int) -> AsyncEngine:
    """A pool of `size` connections to PostgreSQL."""
    return create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"timeout": _CONNECT_SECONDS, "command_timeout": _COMMAND_SECONDS},
    )


def _prepare(engine: Engine, begin: str) -> None:
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
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


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
