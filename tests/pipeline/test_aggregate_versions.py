"""Aggregation never applies a decision to facts that have moved since."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from tests.pipeline.between import interfere, suspending, writing
from tests.pipeline.test_aggregate import blocked, gathering, kinds
from tests.stage import ME, RELEASE, key_of
from zekt_bot.app import open_broker
from zekt_bot.db import mirror
from zekt_bot.db import workflows as allow_list
from zekt_bot.db.tables import audit, messages, runs
from zekt_bot.domain.access import WorkflowRun as Principal
from zekt_bot.domain.catalog import AllowedWorkflow
from zekt_bot.domain.events import Run
from zekt_bot.errors import Conflict
from zekt_bot.operations import messages as message_operations
from zekt_bot.operations import repositories
from zekt_bot.pipeline.aggregate import aggregate
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot.operations.broker import Broker
    from zekt_bot.testing import WorkflowRun


def storing(run: WorkflowRun, *event_types: str) -> Callable[[Broker], Coroutine[Any, Any, None]]:
    """Store a message of this run: of the next type, each time it is called."""
    left = iter(event_types)

    async def store(broker: Broker) -> None:
        who = Principal(key_of(run), run.workflow.path)
        await message_operations.store(broker, who, next(left), b"{}")

    return store


async def test_a_message_between_read_and_write_goes_out_exactly_once(stage: Stage) -> None:
    await stage.publish("*")
    run = await gathering(stage, "build")
    interfere(stage, Run, storing(run, "released"))
    assert await stage.aggregate() == {}
    (message,) = await stage.rows(messages)
    assert await kinds(stage) == [("message", "released", message["id"])]
    assert await stage.claim("runs") == []


async def test_a_late_message_between_read_and_write_goes_out_exactly_once(stage: Stage) -> None:
    await stage.publish("*")
    run = await gathering(stage, "build")
    await stage.aggregate()
    await stage.post(run, b"1")
    interfere(stage, Run, storing(run, "deployed"))
    assert await stage.aggregate() == {}
    late = [(kind, event_type) for kind, event_type, _ in await kinds(stage)]
    assert late == [
        ("event", "zekt-workflow-completed"),
        ("late_message", "deployed"),
        ("late_message", "released"),
    ]


async def test_what_is_allowed_between_read_and_write_is_seen(stage: Stage) -> None:
    await repositories.enable(stage.broker, ME, stage.provider.full_name)
    await gathering(stage, "build")

    def allow(connection: Connection) -> None:
        allow_list.allow(connection, AllowedWorkflow(stage.provider.id, RELEASE), START)
        mirror.touch(connection, stage.provider.id)

    interfere(stage, Run, writing(allow))
    assert await stage.aggregate() == {}
    assert len(await kinds(stage)) == 1
    assert (await stage.row(runs))["blocked_reason"] is None


async def test_consent_withdrawn_between_read_and_write_is_seen(stage: Stage) -> None:
    await stage.publish()
    await gathering(stage, "build")
    interfere(stage, Run, suspending(stage.providing.id))
    await blocked(stage, "consent")


async def test_facts_that_never_stand_still_fail_that_row(stage: Stage) -> None:
    await stage.publish("*")
    run = await gathering(stage, "build")
    storing_ever_more = storing(run, *(f"type-{n}" for n in range(100)))
    between = interfere(stage, Run, storing_ever_more, times=100)
    (error,) = (await stage.aggregate()).values()
    assert isinstance(error, Conflict)
    assert await kinds(stage) == []
    between.left = 0
    stage.clock.advance(timedelta(minutes=1))
    assert await stage.aggregate() == {}
    assert len(await kinds(stage)) == len(await stage.rows(messages)) > 1


async def test_of_two_processes_that_settle_the_same_run_one_does(stage: Stage) -> None:
    await stage.publish("*")
    run = await gathering(stage, "build")
    await stage.post(run)
    (run_id,) = await stage.claim("runs")
    async with open_broker(stage.broker.settings, stage.clock) as other:
        answers = await asyncio.gather(
            *(
                aggregate(broker, [run_id], stage.pace, stage.kept)
                for broker in (stage.broker, other) * 3
            )
        )
    assert answers == [{}] * 6
    assert len(await kinds(stage)) == 1
    told = [one for one in await stage.rows(audit) if one["verb"] == "zekt:run:aggregated"]
    assert sum(orjson.loads(one["details"])["envelopes"] for one in told) == 1
