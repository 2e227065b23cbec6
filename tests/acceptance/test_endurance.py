"""Killed again and again under load: nothing that was acknowledged is lost. `make test-long`."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.server import RELEASE, Stage, stage

if TYPE_CHECKING:
    from pathlib import Path

_ROUNDS, _RUNS = 10, 6


async def run_through(s: Stage) -> int:
    """A run from its start to its end, whether or not anybody listens; its id."""
    run = await s.github.start_run(s.provider, RELEASE)
    job = await run.start_job("build")
    await job.complete()
    await run.complete()
    return run.id


async def redeliver_what_failed(s: Stage) -> None:
    """Press GitHub's button for every webhook that was not answered with 2xx."""
    answered = {sent.guid for sent in s.github.deliveries if sent.ok}
    for guid in {sent.guid for sent in s.github.deliveries} - answered:
        await s.github.redeliver(guid)


@pytest.mark.long
async def test_killed_at_any_moment_it_loses_nothing(database_url: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    unpaced = {"ZEKT_LANE_PER_MINUTE": "0"}
    async with stage(database_url, tmp_path, **unpaced) as s:
        runs: set[int] = set()
        for _ in range(_ROUNDS):
            running = [asyncio.create_task(run_through(s)) for _ in range(_RUNS)]
            await asyncio.sleep(chance.uniform(0.02, 0.6))  # the moment is the test's chance
            await s.zekt.end(signal.SIGKILL)
            runs.update(await asyncio.gather(*running))
            await s.zekt.start()
            await redeliver_what_failed(s)
        await s.zekt.until_deliveries(
            lambda rows: len(rows) == len(runs) and {r["state"] for r in rows} == {"dispatched"}
        )
        sent = [d.client_payload["zekt"] for d in s.github.dispatches]
        assert {zekt["workflow"]["runId"] for zekt in sent} == runs
        again = len(sent) - len({zekt["deliveryId"] for zekt in sent})
        assert again <= _ROUNDS * 8, "only what was in flight at a kill may be sent twice"
