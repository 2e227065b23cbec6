"""Webhooks that are lost on their way, and what is done about it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from zekt_bot.db.tables import coverage
from zekt_bot.pipeline import missed_webhooks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.stage import Stage
    from zekt_bot.testing import WebhookDelivery

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ONE = "/app/hook/deliveries/*"


async def lose(stage: Stage) -> list[WebhookDelivery]:
    """GitHub sends what it holds to a server that is down."""
    sent, stage.held[:] = list(stage.held), []
    return [await stage.github.deliver(one) for one in sent]


async def lose_and_stop_after(stage: Stage, answered: int) -> list[WebhookDelivery]:
    """Four runs' webhooks are lost; GitHub gives so many of them, and hangs at the next."""
    for _ in range(4):
        await stage.finish_run("build")
    sent = await lose(stage)
    stage.clock.advance(HOUR)
    stage.github.fail("GET", ONE, times=answered)  # these are answered
    stage.github.fail("GET", ONE, hang=True, times=1000)
    return sent


async def recover(stage: Stage) -> int:
    """A pass, when what is under way has had its time."""
    stage.clock.advance(2 * MINUTE)
    return await missed_webhooks.recover(stage.broker)


async def flow(stage: Stage) -> None:
    """All steps on what is stored, when no job is waited for any longer."""
    while await stage.route():
        pass
    stage.clock.advance(stage.broker.settings.job_grace)
    assert await stage.aggregate() == {}
    assert await stage.match() == {}
    await stage.deliver()


def asked(stage: Stage) -> int:
    """How many deliveries GitHub was asked for one by one."""
    return sum("/hook/deliveries/" in request.path for request in stage.github.requests)


async def covered(stage: Stage) -> Mapping[str, Any]:
    """How far nothing is missing."""
    return await stage.row(coverage)
