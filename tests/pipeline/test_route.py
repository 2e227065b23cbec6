"""Routing: each inbox row gets its step; what fails is tried again or set aside, alone."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from tests.stage import LEASE, RELEASE
from zekt_bot.db import inbox as inbox_rows
from zekt_bot.db import leases
from zekt_bot.db.tables import audit, inbox, installations, runs
from zekt_bot.domain.webhooks import Receipt
from zekt_bot.errors import StorageUnavailable
from zekt_bot.pipeline.pages import MOST_FAILURES
from zekt_bot.pipeline.route import build_router, route
from zekt_bot.pipeline.store import store
from zekt_bot.pipeline.verify import HANDLED, from_api

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.installations import News

INSTALLATIONS = "/app/installations/*"


def router(step: Any, event: str = "ping") -> Any:
    """A router with a step of one's own."""
    made = build_router()
    made.add(step, event)
    return made


@pytest.fixture(autouse=True)
def pinged(stage: Stage) -> None:
    """A plugin wants pings, so that they are stored, and no step of the broker's has them."""
    stage.broker.plugins.registry.heard |= {"ping"}


def test_every_event_that_verify_reads_has_exactly_one_step() -> None:
    for event in HANDLED:
        found = list(build_router().match(event, {"action": "renamed"}))
        assert len(found) == 1, event
    assert list(build_router().match("star", {"action": "created"})) == []


async def test_what_no_step_wants_is_done_at_once(stage: Stage) -> None:
    await stage.github.ping(stage.app)
    await stage.take()
    await stage.route()
    row = await stage.row(inbox)
    assert (row["state"], row["raw"], row["due_at"]) == ("processed", None, None)


async def test_an_action_that_no_step_wants_is_done_at_once(stage: Stage) -> None:
    body = {"action": "removed", "account": {"id": 1, "login": "x"}}
    await stage.tell("installation_target", body)
    await stage.route()
    assert (await stage.row(inbox))["state"] == "processed"


async def test_githubs_outage_is_outlasted(stage: Stage) -> None:
    await stage.github.unsuspend(stage.providing)
    await stage.take()
    stage.github.fail("GET", INSTALLATIONS, status=502, times=1000)
    for n in range(12):
        assert await stage.route() == 1
        row = await stage.row(inbox)
        wait = min(timedelta(seconds=30) * 2**n, timedelta(minutes=10))
        assert (row["state"], row["failures"]) == ("pending", n + 1)
        assert row["due_at"] == stage.clock.now() + wait
        assert row["reason"]
        assert await stage.route() == 0
        stage.clock.advance(wait)
    stage.github.clear_faults()
    await stage.route()
    row = await stage.row(inbox)
    assert (row["state"], row["reason"], row["due_at"]) == ("processed", None, None)
    assert (await stage.row(installations))["id"] == stage.providing.id


async def test_a_step_whose_question_github_does_not_answer_ends_before_its_lease(
    stage: Stage,
) -> None:
    await stage.github.unsuspend(stage.providing)
    await stage.take()
    stage.github.fail("GET", INSTALLATIONS, hang=True)
    (row,) = await leased(stage)
    async with asyncio.timeout(60):
        await route(stage.broker, stage.router, row, timedelta(milliseconds=200))
    kept = await stage.row(inbox)
    assert (kept["state"], kept["reason"]) == ("pending", "GitHub took too long.")


async def test_an_outage_of_weeks_ends_in_setting_aside(stage: Stage) -> None:
    await stage.github.unsuspend(stage.providing)
    await stage.take()
    stage.github.fail("GET", INSTALLATIONS, status=502, times=1000)
    await failures(stage, 449)
    await stage.route()
    assert (await stage.row(inbox))["state"] == "pending"
    await failures(stage, 450)
    await stage.route()
    row = await stage.row(inbox)
    assert (row["state"], row["due_at"]) == ("set_aside", None)


async def failures(stage: Stage, count: int) -> None:
    """As if the row had failed so often, and were due again."""

    def change(connection: Connection, rows: Sequence[int]) -> list[None]:
        connection.execute(update(inbox).values(failures=rows[0], due_at=stage.clock.now()))
        return [None]

    await stage.broker.database.write(change, count)


async def test_a_step_that_raises_is_tried_five_times_then_set_aside(stage: Stage) -> None:
    async def broken(broker: Broker, news: News) -> None:
        raise RuntimeError(news.event)

    stage.router = router(broken)
    await stage.github.ping(stage.app)
    await stage.take()
    tried = 0
    while await stage.route():
        tried += 1
        row = await stage.row(inbox)
        assert row["reason"] == "RuntimeError"  # what it says may hold what nobody may read
        stage.clock.advance(timedelta(minutes=10))
    assert tried == MOST_FAILURES
    row = await stage.row(inbox)
    assert (row["state"], row["due_at"], row["failures"]) == ("set_aside", None, MOST_FAILURES)
    (entry,) = await stage.rows(audit)
    assert entry["verb"] == "zekt:webhook:set_aside"
    assert orjson.loads(entry["details"]) == {"inbox": row["id"], "event": "ping"}


@pytest.mark.parametrize("kept", [True, False])
async def test_githubs_button_takes_up_what_was_set_aside_as_long_as_its_body_is_kept(
    stage: Stage, kept: bool
) -> None:
    def drop_body(connection: Connection, rows: Sequence[None]) -> Sequence[None]:
        connection.execute(update(inbox).values(raw=None))
        return rows

    async def broken(broker: Broker, news: News) -> None:
        raise RuntimeError(news.event)

    stage.router = router(broken)
    await stage.github.ping(stage.app)
    (sent,) = stage.held
    await stage.take()
    while await stage.route():
        stage.clock.advance(timedelta(minutes=10))
    if not kept:
        await stage.broker.database.write(drop_body, None)
    stage.router = build_router()
    read_again = from_api("orchestrator", sent.guid, sent.event, orjson.loads(sent.body))
    assert await store(stage.broker, read_again) == Receipt(duplicate=True)  # nobody's wish
    receipts = await asyncio.gather(*(stage.receive(sent) for _ in range(3)))
    assert {receipt.duplicate for receipt in receipts} == {True}
    assert sum(receipt.requeued for receipt in receipts) == await stage.route() == kept
    verbs = [entry["verb"] for entry in await stage.rows(audit)]
    assert verbs == ["zekt:webhook:set_aside", "zekt:webhook:requeued"][: 1 + kept]
    assert (await stage.row(inbox))["state"] == ("processed" if kept else "set_aside")
    assert await stage.receive(sent) == Receipt(duplicate=True)


async def test_the_log_leads_from_githubs_delivery_id_to_the_run(stage: Stage) -> None:
    await stage.publish()
    await stage.finish_run("build")
    guids = {sent.headers["X-GitHub-Delivery"] for sent in stage.held}
    with capture_logs() as lines:
        await stage.listen()
        await stage.aggregate()
        await stage.match()
    run = await stage.row(runs)
    of_webhooks = ("inbox.routed", "run.collected", "job.collected")
    for name in (*of_webhooks, "run.aggregated", "envelope.matched"):
        told = [line for line in lines if line["event"] == name]
        assert {line["correlation_id"] for line in told} == {run["correlation_id"]}, name
        if name in of_webhooks:
            assert {line["delivery"] for line in told} <= guids, name


async def test_a_run_that_waits_is_not_told_to_be_aggregated(stage: Stage) -> None:
    await stage.publish()
    run = await stage.github.start_run(stage.provider, RELEASE)
    await run.start_job("build")
    sent = list(stage.held)
    await run.complete()
    stage.held[:] = [*sent, *(one for one in stage.held if one.event == "workflow_run")]
    await stage.listen()
    with capture_logs() as lines:
        while await stage.broker.database.query(leases.next_due, "runs"):
            assert await stage.aggregate() == {}
            stage.clock.advance(timedelta(seconds=1))
    assert [line["event"] for line in lines if line["event"].startswith("run.")] == [
        "run.aggregated"
    ]


async def test_a_step_that_fails_fails_alone(stage: Stage) -> None:
    async def broken(broker: Broker, news: News) -> None:
        raise RuntimeError

    stage.router = router(broken)
    await stage.github.ping(stage.app)
    await stage.github.suspend(stage.providing)
    await stage.take()
    assert await stage.route() == 2
    assert sorted(row["state"] for row in await stage.rows(inbox)) == ["pending", "processed"]


async def test_zekts_own_refusal_stands_as_the_reason(stage: Stage) -> None:
    async def refuses(broker: Broker, news: News) -> None:
        broker.plugins.register(object(), "twice")
        broker.plugins.register(object(), "twice")

    stage.router = router(refuses)
    await stage.github.ping(stage.app)
    await stage.take()
    await stage.route()
    assert "two plugins twice" in (await stage.row(inbox))["reason"]


async def test_storage_that_fails_leaves_the_row_to_its_lease(stage: Stage) -> None:
    async def unstored(broker: Broker, news: News) -> None:
        raise StorageUnavailable

    stage.router = router(unstored)
    await stage.github.ping(stage.app)
    await stage.take()
    with pytest.raises(StorageUnavailable):
        await stage.route()
    row = await stage.row(inbox)
    assert (row["state"], row["failures"], row["reason"]) == ("pending", 0, None)
    assert row["due_at"] == stage.clock.now() + timedelta(seconds=60)


async def test_a_body_that_cannot_be_opened_waits_for_the_right_key(stage: Stage) -> None:
    await stage.github.ping(stage.app)
    await stage.take()
    (row,) = await leased(stage)
    await route(stage.broker, stage.router, {**row, "raw": row["raw"][:-1] + b"\0\0"}, LEASE)
    kept = await stage.row(inbox)
    assert (kept["state"], kept["due_at"]) == ("pending", stage.clock.now() + LEASE / 2)
    assert kept["raw"] == row["raw"]


async def leased(stage: Stage) -> list[Mapping[str, Any]]:
    ids = await stage.claim("inbox")
    return [dict(row) for row in await stage.broker.database.query(inbox_rows.load, ids)]


async def test_a_step_sees_what_was_signed(stage: Stage) -> None:
    seen: list[News] = []

    async def look(broker: Broker, news: News) -> None:
        seen.append(news)

    stage.router = router(look)
    await stage.tell("ping", b'{"zen": "Keep it", "action": "made", "big": 1e3}')
    await stage.route()
    (news,) = seen
    assert news.body == {"zen": "Keep it", "action": "made", "big": 1000.0}
    assert (news.event, news.action, news.received_at) == ("ping", "made", stage.clock.now())
