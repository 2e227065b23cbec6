"""One event at rest takes four commits, and what a commit hands over is never lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, Pool, event

from tests.db.rows import until
from tests.pipeline.test_match_pages import crowd
from tests.stage import LEASE, Stage, clock, open_stage, stage
from tests.working import all_are
from zekt_bot.app import working
from zekt_bot.db.leases import Claim
from zekt_bot.db.tables import deliveries, inbox, runs
from zekt_bot.pipeline.fan_out import PAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg import LoggedQuery

    from zekt_bot.db.handover import Page
    from zekt_bot.domain.audit import Entry
    from zekt_bot.testing import ManualClock, WebhookDelivery

__all__ = ["clock", "stage"]
_LOOPS = 10  # inbox, runs, envelopes, deliveries, six chores
_OF_ASYNCPG = "typeinfo", "'jit'", "(jit"  # what it asks of types, once a connection


async def all_but_its_end(stage: Stage) -> WebhookDelivery:
    """A run of which Zekt knows all but its end, which is answered."""
    await stage.serve()
    return await end_of_another(stage)


async def end_of_another(stage: Stage) -> WebhookDelivery:
    """The end of one more such run."""
    await stage.finish_run("build")
    (end,) = [
        sent
        for sent in stage.held
        if (sent.event, sent.payload["action"]) == ("workflow_run", "completed")
    ]
    stage.held.remove(end)
    await stage.listen()
    return end


async def test_an_event_at_rest_takes_four_commits(stage: Stage) -> None:
    end = await all_but_its_end(stage)
    commits = 0

    def count(_: object) -> None:
        nonlocal commits
        commits += 1

    async def asleep() -> bool:
        return len(stage.clock.waiting_until) == _LOOPS

    async with working(stage.broker):
        await until(asleep)
        event.listen(Engine, "commit", count)
        try:
            await stage.receive(end)
            await until(lambda: all_are(stage, "dispatched"))
            await until(asleep)
        finally:
            event.remove(Engine, "commit", count)
    assert commits == 4  # stored, collected, aggregated and matched, dispatched


async def test_on_postgresql_an_event_at_rest_takes_few_round_trips(
    migrated_postgres: str, clock: ManualClock
) -> None:
    """Once its facts are kept. The database may be a millisecond away."""
    sent: list[str] = []
    dispatched = asyncio.Event()

    def listen(connection: Any, _record: object) -> None:
        connection.driver_connection.add_query_logger(note)

    def note(query: LoggedQuery) -> None:
        if not any(word in query.query for word in _OF_ASYNCPG):
            sent.append(query.query)

    def hear(entries: Sequence[Entry]) -> None:
        if any(entry.verb == "zekt:delivery:dispatched" for entry in entries):
            dispatched.set()

    event.listen(Pool, "connect", listen)
    try:
        async with open_stage(migrated_postgres, clock) as stage:
            first, second = await all_but_its_end(stage), await end_of_another(stage)

            async def asleep() -> bool:
                return len(stage.clock.waiting_until) == _LOOPS

            stage.broker.database.on_audited(hear)
            async with working(stage.broker):
                await stage.receive(first)
                await dispatched.wait()
                dispatched.clear()
                await until(asleep)
                sent.clear()
                await stage.receive(second)
                await dispatched.wait()
                took = len(sent)
    finally:
        event.remove(Pool, "connect", listen)
    assert took == 44, sent


async def test_an_event_that_waits_for_its_match_waits_for_no_poll(stage: Stage) -> None:
    """The clock stands still: what nobody wakes would wait for ever. A crowd, page by page."""
    service = await stage.publish("*")
    await stage.subscribe(approve=False)  # the consumer is known now
    await crowd(stage, service, 2 * PAGE)
    await stage.finish_run("build")

    async def asleep() -> bool:
        return len(stage.clock.waiting_until) == _LOOPS

    async def told() -> bool:
        return len(await stage.rows(deliveries)) == 2 * PAGE + 1

    async with working(stage.broker):
        await until(asleep)
        await stage.take()
        await until(told)


class Dies:
    """A process that was handed rows and is heard of no more."""

    def __init__(self, stage: Stage) -> None:
        self._now = stage.clock.now()
        self.taken = 0

    def request(self) -> Claim:
        return Claim("inbox", self._now, self._now + LEASE, "lea_dead", 64)

    def take(self, page: Page) -> None:
        self.taken += len(page.rows)

    def wake(self) -> None:
        """Too late."""


async def test_what_was_handed_to_one_who_died_is_due_again_with_its_lease(stage: Stage) -> None:
    end = await all_but_its_end(stage)
    dead = Dies(stage)
    stage.broker.database.hand_over("inbox", dead)
    await stage.receive(end)
    assert dead.taken == 1
    assert await stage.claim("inbox") == []
    stage.clock.advance(LEASE)
    async with working(stage.broker):
        await until(lambda: all_are(stage, "dispatched"))
    assert len(stage.github.dispatches) == 1


async def test_who_stops_gives_back_what_it_was_handed_that_very_moment(stage: Stage) -> None:
    end = await all_but_its_end(stage)
    async with working(stage.broker) as worker:

        def stop(entries: Sequence[Entry]) -> None:
            if any(entry.verb == "github:run:completed" for entry in entries):
                worker.stop()

        stage.broker.database.on_audited(stop)
        await stage.receive(end)

        async def collected() -> bool:
            return all(row["state"] == "processed" for row in await stage.rows(inbox))

        await until(collected)
    (row,) = await stage.rows(runs)
    assert (row["state"], row["lease"], row["due_at"]) == ("gathering", None, stage.clock.now())
    assert stage.github.dispatches == []
