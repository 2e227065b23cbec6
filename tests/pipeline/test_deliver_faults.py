"""Delivering when something breaks: no decision, a lost lease, a cancelled send, bad advice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update

from tests import databases
from tests.db.rows import until
from tests.pipeline.sending import DISPATCHES, PACED, execute, matched, posts, tokens, verbs
from tests.stage import LEASE, open_stage
from zekt_bot import hookimpl
from zekt_bot.db.tables import attempts, deliveries, envelopes, messages
from zekt_bot.domain.deliveries import Delivery, Outcome
from zekt_bot.pipeline.deliver import deliver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.stage import Stage
    from zekt_bot.db.outgoing import Work
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.deliveries import Attempt, DispatchRequest
    from zekt_bot.hookspecs import InstallationApi

HALF_A_MINUTE = timedelta(seconds=30)


class Undecided:
    """A plugin that cannot decide about deliveries."""

    @hookimpl
    def zekt_block_reason(self, subject: object) -> None:
        if not isinstance(subject, Delivery):
            return
        raise LookupError(subject.id)


class BadAdvice:
    """A plugin whose advice is worth nothing."""

    def __init__(self, delay: object = None) -> None:
        self.delay = delay

    @hookimpl
    def zekt_retry_delay(self, attempt: Attempt) -> Any:
        if self.delay is None:
            raise RuntimeError(attempt.n)
        return self.delay

    @hookimpl
    def zekt_audit_details(self, entry: Entry) -> None:
        raise RuntimeError(entry.verb)


async def test_what_cannot_be_decided_is_not_sent_and_dead_the_fifth_time(stage: Stage) -> None:
    await matched(stage)
    stage.broker.plugins.register(Undecided(), "undecided")
    for failed in range(1, 5):
        assert await stage.deliver() == [None]
        row = await stage.row(deliveries)
        assert (row["state"], row["reason"], row["failures"]) == (
            "pending",
            "plugin_failed",
            failed,
        )
        assert row["due_at"] == stage.clock.now() + HALF_A_MINUTE
        assert await tokens(stage) == PACED.burst
        assert await stage.works() == []
        stage.clock.advance(HALF_A_MINUTE)
    assert await stage.deliver() == [None]
    row = await stage.row(deliveries)
    assert (row["state"], row["reason"], row["due_at"]) == ("dead", "plugin_failed", None)
    assert posts(stage) == []
    assert await stage.rows(attempts) == []
    assert await verbs(stage) == [
        "zekt:delivery:created",
        *["zekt:delivery:undecided"] * 4,
        "zekt:delivery:dead",
    ]


@pytest.mark.parametrize("table", [envelopes, messages], ids=str)
async def test_a_body_that_cannot_be_opened_is_not_sent(stage: Stage, table: Any) -> None:
    await matched(stage, b"1")
    await execute(stage, update(table).values(body=b"v1 of something else"))
    assert await stage.deliver() == [None]
    row = await stage.row(deliveries)
    assert (row["state"], row["reason"], row["failures"]) == ("pending", "decryption_failed", 1)
    assert posts(stage) == []


async def overtaken(
    stage: Stage,
) -> tuple[asyncio.Event, asyncio.Task[Outcome | None], Work]:
    """A POST under way, until the event, whose lease has run out; the work of who has it now."""
    await matched(stage)
    free = asyncio.Event()
    stage.github.fail("POST", DISPATCHES, until=free)
    (slow,) = await stage.works()
    sending = asyncio.create_task(stage.send(slow))

    async def posted() -> bool:
        return bool(posts(stage))

    await until(posted)
    stage.clock.advance(LEASE)
    (mine,) = await stage.works()
    assert slow.lease != mine.lease
    return free, sending, mine


async def test_a_lost_lease_records_the_attempt_alone(stage: Stage) -> None:
    free, sending, mine = await overtaken(stage)
    free.set()
    outcome = await sending
    assert outcome is not None
    assert outcome.kind == "dispatched"
    row = await stage.row(deliveries)
    assert (row["state"], row["lease"], row["attempts"]) == ("pending", mine.lease, 0)
    assert [one["n"] for one in await stage.rows(attempts)] == [1]
    assert await verbs(stage) == ["zekt:delivery:created"]
    stage.github.fail("POST", DISPATCHES, status=422)
    await stage.send(mine)
    row = await stage.row(deliveries)
    assert (row["state"], row["lease"]) == ("dead", None)
    assert [one["outcome"] for one in await stage.rows(attempts)] == ["dispatched", "dead"]


async def test_a_slow_answer_moves_no_finished_delivery(stage: Stage) -> None:
    free, sending, mine = await overtaken(stage)
    stage.github.fail("POST", DISPATCHES, status=422)
    await stage.send(mine)
    free.set()
    await sending
    row = await stage.row(deliveries)
    assert (row["state"], row["due_at"]) == ("dead", None)
    assert [one["outcome"] for one in await stage.rows(attempts)] == ["dead", "dispatched"]


async def test_a_cancelled_send_leaves_the_delivery_to_its_lease(stage: Stage) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, hang=True)
    (work,) = await stage.works()
    sending = asyncio.create_task(stage.send(work))

    async def posted() -> bool:
        return bool(posts(stage))

    await until(posted)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    row = await stage.row(deliveries)
    assert (row["state"], row["lease"], row["attempts"]) == ("pending", work.lease, 0)
    assert await stage.rows(attempts) == []
    assert await stage.works() == []
    stage.clock.advance(LEASE)
    await stage.deliver()
    assert (await stage.row(deliveries))["state"] == "dispatched"


async def test_bad_advice_undoes_no_record(stage: Stage) -> None:
    await matched(stage)
    stage.broker.plugins.register(BadAdvice(), "bad")
    await stage.deliver()
    assert (await stage.row(deliveries))["state"] == "dispatched"
    assert (await stage.row(attempts))["status"] == 204


@pytest.mark.parametrize("delay", [None, timedelta(seconds=-1), timedelta(days=5), "soon"], ids=str)
async def test_bad_advice_leaves_the_schedule_as_it_was(stage: Stage, delay: object) -> None:
    await matched(stage)
    stage.broker.plugins.register(BadAdvice(delay), "bad")
    stage.github.fail("POST", DISPATCHES, status=502)
    await stage.deliver()
    row = await stage.row(deliveries)
    assert row["state"] == "retrying"
    assert 4 <= (row["due_at"] - stage.clock.now()).total_seconds() <= 6


async def test_good_advice_is_followed(stage: Stage) -> None:
    await matched(stage)
    stage.broker.plugins.register(BadAdvice(HALF_A_MINUTE), "good")
    stage.github.fail("POST", DISPATCHES, status=502)
    await stage.deliver()
    assert (await stage.row(deliveries))["due_at"] == stage.clock.now() + HALF_A_MINUTE


async def test_a_lost_connection_is_tried_again(stage: Stage) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, reset=True, times=9)
    await stage.deliver()
    row = await stage.row(deliveries)
    assert (row["state"], row["reason"], row["attempts"]) == ("retrying", "no_answer", 1)


async def test_with_too_little_of_the_lease_left_nothing_is_sent(stage: Stage) -> None:
    await matched(stage)
    before = await tokens(stage)
    (work,) = await stage.works()
    soon = stage.clock.now() + timedelta(milliseconds=100)
    assert await deliver(stage.broker, work, soon) is None
    row = await stage.row(deliveries)
    assert (row["state"], row["lease"], row["due_at"]) == ("pending", None, stage.clock.now())
    assert (posts(stage), await tokens(stage)) == ([], before)
    await stage.deliver()
    assert (await stage.row(deliveries))["state"] == "dispatched"


class ReadOnly:
    """A channel during whose sending the database becomes read-only, as in a failover."""

    name = "read-only"

    def __init__(self, server: str, url: str) -> None:
        self.server, self.database = server, urlsplit(url).path.lstrip("/")

    def check(self, settings: Mapping[str, str]) -> None: ...

    async def send(self, request: DispatchRequest, client: InstallationApi) -> Outcome:
        self.switch("on")
        return Outcome("dispatched", status=204)

    def switch(self, to: str) -> None:
        databases.execute(
            self.server,
            f"ALTER DATABASE {self.database} SET default_transaction_read_only = {to}",
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{self.database}'",
        )


async def test_what_github_did_is_recorded_when_the_database_is_back(
    migrated_postgres: str, postgres_server: str
) -> None:
    async with open_stage(migrated_postgres) as stage:
        await matched(stage)
        channel = ReadOnly(postgres_server, migrated_postgres)
        stage.broker.plugins.channels[channel.name] = channel
        await execute(stage, update(deliveries).values(channel=channel.name))
        (work,) = await stage.works()
        sending = asyncio.create_task(stage.send(work))

        async def waits() -> bool:
            return stage.clock.now() + timedelta(seconds=1) in stage.clock.waiting_until

        await until(waits)
        channel.switch("off")
        stage.clock.advance(timedelta(seconds=1))
        await sending
        row = await stage.row(deliveries)
        assert (row["state"], row["attempts"]) == ("dispatched", 1)
