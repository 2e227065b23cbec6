"""Quotas of an account: what is beyond them is blocked or refused, and the audit hears of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.stage import ME, SERVICE, open_stage
from zekt_bot.db import usage as usage_of
from zekt_bot.db.tables import audit, deliveries, messages, runs, usage
from zekt_bot.domain.quotas import Quota
from zekt_bot.errors import QuotaExceeded
from zekt_bot.operations import subscriptions
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.stage import Stage

DAY = timedelta(days=1)


@pytest.fixture
async def tight(migrated_url: str) -> AsyncIterator[Stage]:
    """Two events, two messages and twelve bytes a day, one subscription."""
    quota = Quota(events=2, messages=2, bytes=12, subscriptions=1)
    async with open_stage(migrated_url, quota=quota) as stage:
        yield stage


async def told(stage: Stage, verb: str) -> int:
    """How many audit entries say that a quota was exceeded."""
    rows = [row for row in await stage.rows(audit) if row["verb"] == verb]
    return len([row for row in rows if "quota" in row["details"]])


async def test_events_beyond_it_are_blocked_until_the_next_day(tight: Stage) -> None:
    await tight.serve()
    for _ in range(4):
        await tight.finish_run("build")
    await tight.flow()  # all in one page: each is decided on what the others have taken
    found = [row["blocked_reason"] for row in await tight.rows(runs)]
    assert sorted(found, key=str) == [None, None, "quota", "quota"]
    assert len(await tight.rows(deliveries)) == 2
    assert sum(row["events"] for row in await tight.rows(usage)) == 2
    tight.clock.advance(DAY)
    await tight.finish_run("build")
    await tight.flow()
    assert len(await tight.rows(deliveries)) == 3


async def test_the_audit_hears_of_it_once_an_hour(tight: Stage) -> None:
    await tight.serve()
    for minutes in (0, 20, 20, 20, 20, 20):
        tight.clock.advance(timedelta(minutes=minutes))
        await tight.finish_run("build")
        await tight.flow()
    # Blocked after 40, 60, 80 and 100 minutes; told at 40 and at 100.
    assert await told(tight, "zekt:run:blocked") == 2


async def test_the_hour_of_the_audit_goes_on_over_midnight(tight: Stage) -> None:
    await tight.serve()
    midnight = (tight.clock.now() + DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    tight.clock.move_to(midnight - timedelta(minutes=10))
    for _ in range(3):
        await tight.finish_run("build")
    await tight.flow()
    tight.clock.advance(timedelta(minutes=15))
    for _ in range(3):
        await tight.finish_run("build")
    await tight.flow()
    assert await told(tight, "zekt:run:blocked") == 1
    tight.clock.advance(timedelta(minutes=46))
    await tight.finish_run("build")
    await tight.flow()
    assert await told(tight, "zekt:run:blocked") == 2


async def test_a_late_message_of_a_counted_event_is_not_blocked(tight: Stage) -> None:
    await tight.serve("released", "zekt-workflow-completed")
    first = await tight.finish_run("build")
    await tight.finish_run("build")
    await tight.flow()
    await tight.post(first)
    await tight.flow()
    assert len(await tight.rows(deliveries)) == 3
    assert sum(row["events"] for row in await tight.rows(usage)) == 2


@pytest.mark.parametrize("bodies", [(b"1", b"2", b"3"), (b'"12345"', b'"123456"')], ids=["n", "b"])
async def test_messages_beyond_it_are_refused(tight: Stage, bodies: tuple[bytes, ...]) -> None:
    await tight.publish("released")
    run = await tight.finish_run("build")
    await tight.listen()
    for body in bodies[:-1]:
        await tight.post(run, body)
    before = await tight.row(usage)
    for _ in range(2):
        with pytest.raises(QuotaExceeded, match="tomorrow") as refused:
            await tight.post(run, bodies[-1])
        assert 0 < refused.value.data["retry_after"] <= 86400
    assert (await tight.post(run, bodies[0])).duplicate
    kept = {name: before[name] for name in ("events", "messages", "bytes")}
    assert kept == {name: (await tight.row(usage))[name] for name in kept}
    assert len(await tight.rows(messages)) == len(bodies) - 1
    assert await told(tight, "run:message:refused") == 1
    tight.clock.advance(DAY)
    assert not (await tight.post(run, bodies[-1])).duplicate


async def test_a_message_of_an_unknown_run_is_refused_without_a_trace(tight: Stage) -> None:
    await tight.publish("released")
    run = await tight.finish_run("build")
    for body in (b"1", b"2"):
        await tight.post(run, body)
    other = await tight.finish_run("build")
    with pytest.raises(QuotaExceeded):
        await tight.post(other)
    assert len(await tight.rows(runs)) == 1


async def test_the_same_message_again_takes_nothing(tight: Stage) -> None:
    await tight.publish("released")
    run = await tight.finish_run("build")
    for _ in range(3):
        await tight.post(run)
    assert (await tight.row(usage))["messages"] == 1


async def test_subscriptions_beyond_it_are_refused(tight: Stage) -> None:
    await tight.serve()
    other = tight.github.repository(tight.consumer.owner, "other")
    with pytest.raises(QuotaExceeded, match="end one first"):
        await tight.subscribe(other)
    assert await told(tight, "person:subscription:refused") == 1
    await subscriptions.end(tight.broker, ME, "end", Ends(SERVICE, tight.consumer.full_name))
    await tight.subscribe(other)


async def test_of_two_requests_at_once_one_has_room(tight: Stage) -> None:
    await tight.publish()
    names = [tight.consumer.full_name]
    names.append(tight.github.repository(tight.consumer.owner, "other").full_name)
    asking = (subscriptions.request(tight.broker, ME, Ends(SERVICE, name)) for name in names)
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == ["QuotaExceeded", "Subscription"]


async def test_who_asks_again_for_what_it_has_takes_no_more_room(tight: Stage) -> None:
    held = await tight.serve()
    query = tight.broker.database.query
    assert await query(usage_of.subscribed, tight.consumer.owner.id, held.id) == 0
    assert await query(usage_of.subscribed, tight.consumer.owner.id, "sub_other") == 1


async def test_without_a_quota_nothing_is_counted(stage: Stage) -> None:
    await stage.serve("released")
    run = await stage.finish_run("build")
    await stage.listen()
    await stage.post(run)
    await stage.flow()
    assert await stage.rows(usage) == []
