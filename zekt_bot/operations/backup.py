"""Backup of an SQLite file beside the server that uses it."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zekt_bot.db import backup as files
from zekt_bot.db.crypto import key_file
from zekt_bot.domain.access import decide
from zekt_bot.errors import Conflict, InvalidInput, StorageUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy's size, and what opens what is sealed in it: a setting, or a file."""

    bytes: int
    key: str


async def backup(broker: Broker, principal: Principal, target: Path) -> Backup:
    """Copy the database to a new file, as at one moment.

    Raises:
        AccessDenied.
        InvalidInput: the database is PostgreSQL, which has means of its own, or nothing can be
            written there.
        Conflict: there is such a file.
        StorageUnavailable: it cannot be read, or the copy not finished.
    """
    decide(principal, "data:export")
    source = broker.database.address.path
    if source is None:
        raise InvalidInput("The database is PostgreSQL: use pg_dump, or archive its log.")
    try:
        size = await asyncio.to_thread(files.copy, source, target)
    except FileExistsError:
        raise Conflict(f"{target}, or {target}.part, is there already: name a new file.") from None
    except OSError as error:
        raise InvalidInput(
            f"{target} cannot be written ({error.strerror}): name a file in a folder that is "
            "there, with room and open to you."
        ) from None
    except sqlite3.Error as error:
        raise StorageUnavailable(f"{target} could not be written.") from error
    key = "ZEKT_SECRET_KEY" if broker.settings.secret_keys else str(key_file(source))
    return Backup(size, key)
