"""A row whose step fails five times is set aside, and never without a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.db.rows import KEY, leased
from tests.pipeline.between import Raising, aggregated, interfere, writing
from tests.stage import LEASE, ME
from zekt_bot.db import leases, mirror
from zekt_bot.db.tables import audit, deliveries, envelopes, runs
from zekt_bot.domain.deliveries import Delivery
from zekt_bot.domain.events import Envelope, Run
from zekt_bot.errors import StorageUnavailable
from zekt_bot.operations.broker import new_lease
from zekt_bot.operations.events import show_event
from zekt_bot.pipeline.aggregate import aggregate
from zekt_bot.pipeline.match import match
from zekt_bot.pipeline.pages import MOST_FAILURES, failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.stage import Stage
    from zekt_bot.testing import WorkflowRun


async def turn(stage: Stage, table: str) -> int:
    """What the worker does with a page; answers how many rows were due."""
    now = stage.clock.now()
    claim = leases.Claim(table, now, now + LEASE, new_lease(), 64)
    ids = await stage.broker.database.write(leased, claim)
    if table == "runs":
        found = await aggregate(stage.broker, ids, stage.pace, stage.kept)
    else:
        found = await match(stage.broker, ids, stage.pace, stage.kept)
    for row_id, error in found.items():
        await failed(stage.broker, (table, row_id, claim.lease), error)
    return len(ids)


async def wear_out(stage: Stage, table: str) -> None:
    """Take turns whenever something is due, until nothing is."""
    tried = 0
    while (due := await stage.broker.database.query(leases.next_due, table)) is not None:
        stage.clock.move_to(max(due, stage.clock.now()))
        tried += await turn(stage, table)
    assert tried == MOST_FAILURES


async def aside(stage: Stage) -> Mapping[str, Any]:
    """The one audit entry of a setting aside."""
    (entry,) = [row for row in await stage.rows(audit) if row["verb"].endswith(":set_aside")]
    return entry


async def finished(stage: Stage) -> WorkflowRun:
    await stage.serve("*")
    run = await stage.finish_run("build")
    await stage.listen()
    return run


async def test_an_envelope_says_that_it_was_set_aside_and_why(stage: Stage) -> None:
    await finished(stage)
    await aggregated(stage)
    stage.broker.plugins.register(Raising(Envelope), "raising")
    await wear_out(stage, "envelopes")
    row, run, entry = await stage.row(envelopes), await stage.row(runs), await aside(stage)
    assert (row["blocked_reason"], row["due_at"], row["lease"]) == ("plugin_failed", None, None)
    assert "zekt_block_reason" in row["reason"]
    assert KEY not in row["reason"]
    assert entry["verb"] == "zekt:envelope:set_aside"
    assert entry["correlation_id"] == run["correlation_id"]
    assert orjson.loads(entry["details"]) == {"envelope": row["id"], "error": "PluginFailed"}
    (shown,) = (await show_event(stage.broker, ME, run["id"]))["envelopes"]
    assert (shown["id"], shown["blocked_reason"]) == (row["id"], "plugin_failed")
    assert await stage.rows(deliveries) == []


async def test_a_run_says_that_it_was_set_aside_and_why(stage: Stage) -> None:
    await finished(stage)
    stage.broker.plugins.register(Raising(Run), "raising")
    await wear_out(stage, "runs")
    row, entry = await stage.row(runs), await aside(stage)
    assert (row["state"], row["due_at"]) == ("set_aside", None)
    assert (entry["verb"], entry["repository_id"]) == ("zekt:run:set_aside", stage.provider.id)
    assert orjson.loads(entry["details"]) == {"run": row["id"], "error": "PluginFailed"}


@pytest.mark.parametrize("before", [True, False], ids=["promised before", "only after"])
async def test_a_message_takes_up_a_run_that_was_set_aside(stage: Stage, before: bool) -> None:
    run = await finished(stage)
    raising = Raising(Run)
    stage.broker.plugins.register(raising, "raising")
    promised = [await stage.post(run, b"1")] if before else []
    await wear_out(stage, "runs")
    raising.subject = None
    promised.append(await stage.post(run, b"2"))
    assert await stage.aggregate() == {}
    found = [row["id"] for row in await stage.rows(envelopes)]
    assert found == sorted(each.event_id for each in promised)
    row = await stage.row(runs)
    assert (row["state"], row["failures"], row["reason"]) == ("done", 0, None)


async def test_a_late_message_takes_up_a_run_that_was_set_aside(stage: Stage) -> None:
    run = await finished(stage)
    assert await stage.aggregate() == {}
    raising = Raising(Run)
    stage.broker.plugins.register(raising, "raising")
    await stage.post(run, b"1")
    await wear_out(stage, "runs")
    raising.subject = None
    await stage.post(run, b"2")
    assert await stage.aggregate() == {}
    kinds = sorted(row["kind"] for row in await stage.rows(envelopes))
    assert kinds == ["event", "late_message", "late_message"]


async def test_facts_that_move_too_fast_are_nobodys_failure(stage: Stage) -> None:
    await finished(stage)
    await aggregated(stage)
    move = writing(lambda c: mirror.touch(c, stage.consumer.id))
    between = interfere(stage, Delivery, move, times=8)
    assert await turn(stage, "envelopes") == 1
    assert between.left == 0
    row = await stage.row(envelopes)
    assert (row["failures"], row["reason"], row["lease"]) == (0, None, None)
    wait = row["due_at"] - stage.clock.now()
    stage.clock.advance(wait)
    assert wait.total_seconds() <= 1
    assert await turn(stage, "envelopes") == 1
    assert len(await stage.rows(deliveries)) == 1


async def test_an_outage_is_nobodys_failure(stage: Stage) -> None:
    await finished(stage)
    now = stage.clock.now()
    claim = leases.Claim("runs", now, now + LEASE, new_lease(), 64)
    (run_id,) = await stage.broker.database.write(leased, claim)
    with pytest.raises(StorageUnavailable):
        await failed(stage.broker, ("runs", run_id, claim.lease), StorageUnavailable())
    assert (await stage.row(runs))["failures"] == 0
