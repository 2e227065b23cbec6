"""GitHub limits, hangs, or is away for days: nothing is given up, and nobody floods it after."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import PROFILE
from tests.figures import FIGURES
from tests.pipeline.sending import DISPATCHES, matched, posts
from tests.stage import LEASE
from zekt_bot.db import leases
from zekt_bot.db.tables import deliveries, lanes
from zekt_bot.domain.lanes import Pace
from zekt_bot.pipeline.deliver import deliver

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stage import Stage

RUNS, PACE = (60, Pace(60, 20, 8, 170)) if PROFILE == "long" else (7, Pace(60, 4, 4, 170))
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
_SECONDARY = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}


async def states(stage: Stage) -> set[str]:
    return {row["state"] for row in await stage.rows(deliveries)}


async def work(stage: Stage, until: timedelta) -> None:
    """Send what is due whenever something is, for so long."""
    end = stage.clock.now() + until
    while True:
        due = await stage.broker.database.query(leases.next_due, "deliveries")
        if due is None or due > end:
            break
        stage.clock.move_to(max(due, stage.clock.now()))
        await stage.deliver()
    stage.clock.move_to(end)


async def backlog(stage: Stage) -> None:
    """More than a lane's burst is due."""
    stage.pace = PACE
    await stage.serve()
    for _ in range(RUNS):
        await stage.finish_run("build")
    for _ in range(RUNS // 64 + 1):
        await stage.prepare()
    assert len(await stage.rows(deliveries)) == RUNS


def busiest_second(stage: Stage) -> int:
    """The most POSTs that GitHub saw in one second."""
    seen = [one.at for one in stage.github.requests if one.path.endswith("/dispatches")]
    return max(Counter(at.replace(microsecond=0) for at in seen).values())


async def test_after_three_days_away_it_is_met_by_no_flood_and_nothing_is_given_up(
    stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    await backlog(stage)
    await stage.github.stop()
    await work(stage, 72 * HOUR)
    assert await states(stage) == {"retrying"}
    stage.clock.advance(9 * HOUR)  # the worker is away too, longer than any retry waits
    assert {row["due_at"] <= stage.clock.now() for row in await stage.rows(deliveries)} == {True}
    await stage.github.start()
    await work(stage, 9 * HOUR)
    assert await states(stage) == {"dispatched"}
    assert len(stage.github.dispatches) == RUNS
    busiest, a_second = busiest_second(stage), ceil(PACE.per_minute / 60)
    assert PACE.burst <= busiest <= PACE.burst + a_second < RUNS
    seen = f"{RUNS} deliveries, all due at once after 81 hours, all dispatched"
    most = f"at most {busiest} POSTs in a second, burst {PACE.burst} and {a_second} a second"
    record_property(FIGURES, f"{seen}; {most}")


async def test_when_a_limit_ends_what_waited_is_paced(stage: Stage) -> None:
    await backlog(stage)
    stage.github.fail("POST", DISPATCHES, status=403, body=_SECONDARY, times=1)
    await work(stage, timedelta(minutes=59))
    assert await states(stage) == {"dispatched"}
    assert len(posts(stage)) == RUNS + 1
    assert busiest_second(stage) == stage.pace.burst


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        ({"status": 403, "body": _SECONDARY}, 60),
        ({"status": 403, "body": _SECONDARY, "headers": {"Retry-After": "90"}}, 90),
        ({"status": 429}, 60),
        ({"status": 429, "headers": {"Retry-After": "7"}}, 7),
    ],
    ids=["secondary", "secondary, 90 s", "429", "429, 7 s"],
)
async def test_a_limit_is_waited_for_as_long_as_github_says(
    stage: Stage, fault: Any, seconds: int
) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, **fault)
    await stage.deliver()
    stage.clock.advance((seconds - 1) * SECOND)
    assert await stage.works() == []
    stage.clock.advance(SECOND)
    await stage.deliver()
    assert await states(stage) == {"dispatched"}
    assert len(stage.github.dispatches) == 1


async def test_an_hours_requests_that_are_used_up_are_waited_for_until_the_reset(
    stage: Stage,
) -> None:
    await matched(stage)
    usual, stage.consuming.rate_limit = stage.consuming.rate_limit, 0
    await stage.deliver()
    (lane,) = [row for row in await stage.rows(lanes) if row["open_at"]]
    assert timedelta() < lane["open_at"] - stage.clock.now() <= HOUR
    stage.consuming.rate_limit = usual
    stage.clock.move_to(lane["open_at"] - SECOND)
    assert await stage.works() == []
    stage.clock.advance(SECOND)
    await stage.deliver()
    assert await states(stage) == {"dispatched"}
    assert len(posts(stage)) == 2


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        ({"hang": True}, 1),
        ({"hang": True, "when": "after"}, 2),
        ({"reset": True}, 1),
        ({"reset": True, "when": "after"}, 2),
        ({"status": 502, "when": "after"}, 2),
        ({"delay": 0.05}, 1),
    ],
    ids=["silent", "silent after it acted", "reset", "reset after it acted", "502 after", "slow"],
)
async def test_what_github_did_without_saying_so_is_sent_again_under_the_same_id(
    stage: Stage, fault: Any, sent: int
) -> None:
    await matched(stage)
    await keep_a_token(stage)
    stage.github.fail("POST", DISPATCHES, **fault)
    (first,) = await stage.works()
    patience = SECOND if fault.get("hang") else LEASE
    await deliver(stage.broker, first, stage.clock.now() + patience)
    stage.clock.advance(10 * SECOND)
    await stage.deliver()
    assert await states(stage) == {"dispatched"}
    told = [one.client_payload["zekt"]["deliveryId"] for one in stage.github.dispatches]
    assert told == [first.delivery.id] * sent


async def keep_a_token(stage: Stage) -> None:
    """For the dispatch to come."""
    api = stage.broker.github.installation_api(stage.consuming.id, stage.consumer.id)
    await api.get(f"/repositories/{stage.consumer.id}")


async def test_a_revoked_token_is_replaced_at_once(stage: Stage) -> None:
    await matched(stage)
    await keep_a_token(stage)
    stage.github.revoke_tokens()
    await stage.deliver()
    assert await states(stage) == {"dispatched"}
