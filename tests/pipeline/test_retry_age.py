"""When a delivery is given up: its own tries and waits count, and nothing that held it back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from tests.pipeline.sending import DISPATCHES, answered, execute, matched
from tests.stage import ME
from zekt_bot.db.tables import attempts, deliveries, envelopes
from zekt_bot.domain.deliveries import GIVE_UP_AFTER, Outcome
from zekt_bot.operations import pauses
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tests.stage import Stage

MICROSECOND = timedelta(microseconds=1)


async def row(stage: Stage) -> Mapping[str, Any]:
    return await stage.row(deliveries)


async def fails(stage: Stage, times: int = 1) -> Mapping[str, Any]:
    """Answer so many tries with 502, each when it is due."""
    for _ in range(times):
        stage.github.fail("POST", DISPATCHES, status=502)
        assert await stage.deliver()
        found = await row(stage)
        if found["due_at"]:
            stage.clock.move_to(found["due_at"])
    return await row(stage)


async def test_what_always_fails_is_tried_for_four_days_and_given_up(stage: Stage) -> None:
    await matched(stage)
    while (found := await fails(stage))["state"] == "retrying":
        assert found["attempts"] < 50
    assert (found["state"], found["reason"], found["due_at"]) == ("dead", "github_502", None)
    tried_for = timedelta(microseconds=found["tried_for_us"])
    assert GIVE_UP_AFTER <= tried_for < GIVE_UP_AFTER + timedelta(hours=7.2)
    took = sum(one["duration_us"] for one in await stage.rows(attempts)) * MICROSECOND
    assert stage.clock.now() - START == pytest.approx(tried_for - took, abs=timedelta(seconds=1))


async def test_a_pause_brings_no_delivery_nearer_to_its_end(stage: Stage) -> None:
    await matched(stage)
    await pauses.pause(stage.broker, ME, pauses.Target())
    assert await stage.deliver() == [None]
    stage.clock.advance(GIVE_UP_AFTER)
    await pauses.resume(stage.broker, ME, pauses.Target())
    assert (await fails(stage, 2))["state"] == "retrying"


async def test_an_app_without_a_key_brings_no_delivery_nearer_to_its_end(stage: Stage) -> None:
    await answered(stage, Outcome("app_paused", status=401))
    await execute(stage, update(deliveries).values(channel="repository_dispatch"))
    stage.clock.advance(GIVE_UP_AFTER)
    assert (await fails(stage, 2))["state"] == "retrying"


@pytest.mark.parametrize("times", [1, 3])
async def test_a_closed_lane_brings_no_delivery_nearer_to_its_end(stage: Stage, times: int) -> None:
    await matched(stage)
    await fails(stage)
    for _ in range(times):
        hours = str(int(GIVE_UP_AFTER.total_seconds()) - 1)
        stage.github.fail("POST", DISPATCHES, status=429, headers={"Retry-After": hours})
        await stage.deliver()
        stage.clock.move_to((await row(stage))["due_at"])
    assert (await fails(stage, 2))["state"] == "retrying"
    assert timedelta(microseconds=(await row(stage))["tried_for_us"]) < timedelta(hours=1)


async def test_a_wait_that_the_target_asks_for_counts(stage: Stage) -> None:
    first = GIVE_UP_AFTER - timedelta(seconds=1)
    found = await answered(stage, Outcome("retry", status=503, not_before=START + first))
    assert found["due_at"] == START + first
    stage.clock.move_to(found["due_at"])
    await execute(stage, update(deliveries).values(channel="repository_dispatch"))
    assert (await fails(stage))["state"] == "retrying"
    assert (await fails(stage))["state"] == "dead"


async def test_a_worker_that_was_away_brings_no_delivery_nearer_to_its_end(stage: Stage) -> None:
    await matched(stage)
    await fails(stage)
    stage.clock.advance(GIVE_UP_AFTER)
    assert (await fails(stage))["state"] == "retrying"


async def test_what_cannot_be_opened_is_given_up_as_late_as_anything(stage: Stage) -> None:
    await matched(stage)
    await execute(stage, update(envelopes).values(body=b"v1 of something else"))
    await stage.deliver()
    stage.clock.move_to((await row(stage))["due_at"])
    assert (await row(stage))["tried_for_us"] == 30_000_000
    nearly = GIVE_UP_AFTER - timedelta(seconds=30)
    await execute(stage, update(deliveries).values(tried_for_us=nearly // MICROSECOND))
    assert await stage.deliver() == [None]
    found = await row(stage)
    assert (found["state"], found["reason"]) == ("pending", "decryption_failed")
    stage.clock.move_to(found["due_at"])
    await stage.deliver()
    found = await row(stage)
    assert (found["state"], found["reason"]) == ("dead", "decryption_failed")
