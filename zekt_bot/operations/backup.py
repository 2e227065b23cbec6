"""Backup of an SQLite file beside the server that uses it."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

from zekt_bot.db import backup as files
from zekt_bot.domain.access import decide
from zekt_bot.errors import Conflict, InvalidInput, StorageUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker


async def backup(broker: Broker, principal: Principal, target: Path) -> int:
    """Copy the database to a new file, as at one moment; answers its bytes.

    Raises:
        AccessDenied.
        InvalidInput: the database is PostgreSQL, which has means of its own.
        Conflict: there is such a file.
        StorageUnavailable: it cannot be read, or the copy not written.
    """
    decide(principal, "data:export")
    source = broker.database.address.path
    if source is None:
        raise InvalidInput("The database is PostgreSQL: use pg_dump, or archive its log.")
    try:
        return await asyncio.to_thread(files.copy, source, target)
    except FileExistsError:
        raise Conflict(f"{target}, or {target}.part, is there already: name a new file.") from None
    except (OSError, sqlite3.Error) as error:
        raise StorageUnavailable(f"{target} could not be written.") from error
