"""A copy of an SQLite file, taken while a server writes to it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def copy(source: Path, target: Path) -> int:
    """Copy a database to a new file, which appears whole or not at all; answers its bytes.

    One reading transaction sees the whole file as at one moment, and no writer waits for it
    (https://www.sqlite.org/backup.html, https://www.sqlite.org/wal.html).

    Raises:
        FileExistsError: there is such a file.
        OSError, sqlite3.Error: it cannot be read, or not written.
    """
    part = target.with_name(f"{target.name}.part")
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with contextlib.ExitStack() as stack:
            reading = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
            there = stack.enter_context(contextlib.closing(reading))
            here = stack.enter_context(contextlib.closing(sqlite3.connect(part)))
            there.backup(here)
            here.execute("PRAGMA journal_mode=DELETE")  # one file, whole in itself
            (said,) = here.execute("PRAGMA quick_check").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(f"the copy is damaged: {said}")
        _flush(part)
        os.link(part, target)  # unlike a renaming, never over another file
    finally:
        part.unlink()
    return target.stat().st_size


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
