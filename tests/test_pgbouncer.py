"""Behind PgBouncer in transaction mode a statement's connection is whoever's it was before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.db.poolers import pgbouncer, swapper
from tests.programs import needs
from tests.stage import ME, open_stage
from zekt_bot.db.tables import deliveries
from zekt_bot.errors import StorageUnavailable
from zekt_bot.operations.audit_proof import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    Pooler = Callable[[str], AbstractAsyncContextManager[str]]

_RUNS = 8  # as many as one claim takes of a lane


@pytest.mark.parametrize("pooler", [swapper, pytest.param(pgbouncer, marks=needs("pgbouncer"))])
async def test_events_go_their_way_behind_a_pooler(migrated_postgres: str, pooler: Pooler) -> None:
    async with (
        pooler(migrated_postgres) as url,
        open_stage(url, pgbouncer=True, direct_database_url=migrated_postgres) as stage,
    ):
        await stage.serve("*")
        for _ in range(_RUNS):
            await stage.finish_run("build")
        await stage.prepare()
        await asyncio.gather(*(stage.send(work) for work in await stage.works()))
        assert [row["state"] for row in await stage.rows(deliveries)] == ["dispatched"] * _RUNS
        assert (await verify(stage.broker, ME))["intact"]


async def test_without_the_setting_it_would_not(migrated_postgres: str) -> None:
    """So the stand-in does what the setting is for: no prepared statement is where it was made."""
    async with swapper(migrated_postgres) as url:
        with pytest.raises(StorageUnavailable):
            async with open_stage(url, direct_database_url=migrated_postgres):
                pass
