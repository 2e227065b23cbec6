"""What a worker at work is watched by."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from zekt_bot.db import chores
from zekt_bot.db.tables import deliveries
from zekt_bot.pipeline import recovery

if TYPE_CHECKING:
    from tests.stage import Stage

LOOPS = 10  # that a worker's clock knows: inbox, runs, envelopes, deliveries, six chores
DISPATCH, MINT = "/repos/*/dispatches", "/app/installations/*/access_tokens"


async def states(stage: Stage) -> list[str]:
    """The deliveries' states."""
    return [row["state"] for row in await stage.rows(deliveries)]


async def a_second_passes(stage: Stage) -> None:
    """Slowly while a delivery is leased: on no machine does its lease run out under way."""
    if any(row["lease"] for row in await stage.rows(deliveries)):
        await asyncio.sleep(0.05)
    stage.clock.advance(timedelta(seconds=1))


async def nothing_is_looked_for(stage: Stage) -> None:
    """The chores that ask GitHub were just done: no request comes but of what the test does."""
    now = stage.clock.now()
    for name, every in (
        ("workflows", timedelta(hours=1)),
        ("badges", timedelta(days=1)),
        (recovery.CHORE, recovery.EVERY),
    ):
        await stage.broker.database.write(chores.take, (name, now, now + every))


async def finished(stage: Stage) -> None:
    """A run that ended, told to Zekt."""
    await stage.finish_run("build")
    await stage.take()


async def all_are(stage: Stage, state: str) -> bool:
    """Whether there are deliveries, all in this state."""
    found = await states(stage)
    return bool(found) and set(found) == {state}


async def posted(stage: Stage, many: int = 1) -> bool:
    """Whether GitHub heard so many dispatches, answered or not."""
    asked = [request.path for request in stage.github.requests]
    return sum(path.endswith("/dispatches") for path in asked) >= many


def minted(stage: Stage) -> list[str]:
    """The paths by which tokens were asked for."""
    asked = [request.path for request in stage.github.requests]
    return [path for path in asked if path.endswith("/access_tokens")]
