"""The server is killed anywhere in the circle: nothing is lost, and no message is stored twice."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.server import BRIEF
from tests.chance import seeded
from tests.examples.world import told, world
from tests.stage import ME
from zekt_bot.operations.message_lists import list_messages

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from tests.examples.world import World


@pytest.mark.long
@pytest.mark.at_length(5)
async def test_the_circle_closes_around_a_crash(database_url: str, tmp_path: Path) -> None:
    with seeded() as chance:
        async with world(database_url, tmp_path, **BRIEF) as here:
            await close(here, chance)


async def close(here: World, chance: random.Random) -> None:
    service = await here.provide("provider-message")
    consumer = await here.consume("consumer-receive", service)
    sending = asyncio.create_task(here.run("provider-message"))
    await asyncio.sleep(chance.uniform(0, 3))  # the moment is the test's chance
    await here.stage.zekt.end(signal.SIGKILL)
    await asyncio.sleep(chance.uniform(0, 1))
    await here.stage.zekt.start()
    await sending
    await redeliver(here)

    delivery = await here.delivery(consumer, "completed")
    broker = here.stage.zekt.broker
    assert broker is not None
    assert len(await list_messages(broker, ME)) == 1
    await here.stage.github.settle()
    runs = here.stage.github.core.world.runs_of(consumer)
    assert runs
    assert all(f"{delivery} is confirmed" in told(run) for run in runs)


async def redeliver(here: World) -> None:
    """What GitHub sent to a dead server, as from its page; Zekt itself looks in minutes."""
    github = here.stage.github
    for lost in [one for one in github.deliveries if not one.ok]:
        await github.redeliver(lost.guid)
