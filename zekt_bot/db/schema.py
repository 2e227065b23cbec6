"""Migrations (Alembic), run from the code.

Alembic is imported by what migrates: to load it takes as long as all else of a start.
"""

from __future__ import annotations

import asyncio
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from zekt_bot.db.engine import postgresql, sqlite
from zekt_bot.errors import ConfigurationError, StorageUnavailable

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection, Engine

    from zekt_bot.db.engine import Address

_LOCK = 0x7A656B74  # "zekt"
_MIGRATIONS = Path(__file__).parent / "migrations"


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, bound to `connection`."""
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(_MIGRATIONS))
    configuration.attributes["connection"] = connection
    return configuration


def upgrade(connection: Connection) -> None:
    """Upgrade to the newest revision; on PostgreSQL one process at a time.

    Raises:
        ConfigurationError: as `is_current`.
    """
    from alembic import command

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if not is_current(connection):
        command.upgrade(config(connection), "head")


def is_current(connection: Connection) -> bool:
    """Whether the database is at this version's newest revision.

    Raises:
        ConfigurationError: it is at a later one, and nothing here knows the way back.
    """
    if not inspect(connection).has_table("alembic_version"):
        return False
    rows = connection.execute(text("SELECT version_num FROM alembic_version")).scalars()
    found = rows.one_or_none() or ""
    if found > _newest():
        raise ConfigurationError(
            f"The database's tables are a later version's (revision {found}; this version of Zekt "
            f"knows {_newest()}): start that version again, or restore the backup that was made "
            "before the upgrade."
        )
    return found == _newest()


@cache
def _newest() -> str:
    """The newest revision: a migration's file begins with its own."""
    return max(path.name for path in _MIGRATIONS.glob("versions/[0-9]*.py")).partition("_")[0]


async def migrate(address: Address) -> None:
    """Bring the database at `address` to the newest revision.

    Raises:
        StorageUnavailable: it cannot be reached.
        ConfigurationError: it is at a later one.
    """
    import_module("alembic.command")  # takes long: not while the database is locked
    if address.path:
        engine = sqlite(address.path)
        try:
            await asyncio.to_thread(_upgrade_sqlite, engine)
        except DBAPIError as error:
            raise StorageUnavailable(f"{address.shown} cannot be migrated: {error}") from error
        return
    remote = postgresql(address, size=0)  # a migration may take its time: no limit to a command
    try:
        async with remote.begin() as connection:
            await connection.run_sync(upgrade)
    except (OSError, DBAPIError) as error:
        raise StorageUnavailable(f"{address.shown} cannot be migrated: {error}") from error
    finally:
        await remote.dispose()


def _upgrade_sqlite(engine: Engine) -> None:
    with engine.begin() as connection:
        upgrade(connection)
