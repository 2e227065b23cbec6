"""A backup of a running server's file, restored, goes on where it was."""

from __future__ import annotations

import asyncio
import shutil
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.operations.people import people
from tests.stage import ME, Stage, open_stage
from zekt_bot.app import open_broker
from zekt_bot.db import leases
from zekt_bot.db.tables import deliveries
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput
from zekt_bot.operations.audit_proof import verify
from zekt_bot.operations.backup import backup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def running(migrated_sqlite: str) -> AsyncIterator[Stage]:
    """A stage on SQLite with a delivery that is not sent yet."""
    async with open_stage(migrated_sqlite) as stage:
        await stage.serve()
        await stage.finish_run("build")
        await stage.prepare()
        yield stage


async def test_what_was_due_is_sent_from_the_restored_file(running: Stage, tmp_path: Path) -> None:
    kept = tmp_path / "kept.db"
    work = asyncio.create_task(running.deliver())  # the server goes on meanwhile
    size = (await backup(running.broker, ME, kept)).bytes
    await work
    assert size == kept.stat().st_size > 0
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    restored = tmp_path / "restored.db"
    shutil.copyfile(kept, restored)
    settings = replace(running.broker.settings, database_url=f"sqlite:///{restored}")
    async with open_broker(settings, running.clock) as broker:
        again = replace(running, broker=broker)
        await broker.database.write(leases.release_all, running.clock.now())
        await again.deliver()
        assert (await again.row(deliveries))["state"] == "dispatched"
        await again.finish_run("build")
        await again.flow()
        assert len(await again.rows(deliveries)) == 2
        assert (await verify(broker, ME))["intact"]


async def test_no_file_is_written_over(running: Stage, tmp_path: Path) -> None:
    kept = tmp_path / "kept.db"
    for there in (kept, tmp_path / "kept.db.part"):
        there.write_bytes(b"something else")
        with pytest.raises(Conflict, match="there already"):
            await backup(running.broker, ME, kept)
        assert there.read_bytes() == b"something else"
        there.unlink()
    with pytest.raises(InvalidInput, match="No such file"):
        await backup(running.broker, ME, tmp_path / "nowhere" / "kept.db")


async def test_it_is_an_operators_and_of_sqlite(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(AccessDenied):
        await backup(stage.broker, people(stage).ada, tmp_path / "kept.db")
    if stage.broker.settings.on_postgresql:
        with pytest.raises(InvalidInput, match="pg_dump"):
            await backup(stage.broker, ME, tmp_path / "kept.db")
