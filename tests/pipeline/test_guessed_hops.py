"""Of a run that names no delivery its hops are guessed from what was sent, never too few."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select, update

from tests.operations.subscribing import ENDS
from tests.pipeline.sending import DISPATCHES, execute
from tests.pipeline.test_hops import PATH, provide
from tests.pipeline.test_proof import again, consumers, react
from tests.stage import ME
from zekt_bot.db.tables import attempts, deliveries, envelopes, runs
from zekt_bot.domain.subscriptions import Durable
from zekt_bot.operations import unproven
from zekt_bot.operations.durability import make_durable

if TYPE_CHECKING:
    from tests.stage import Stage

FIVE = timedelta(minutes=5)
EVENT = "zekt-workflow-completed"


async def sent(stage: Stage) -> None:
    """An event for the consumer, whose workflow does not tell of which delivery it came."""
    react(stage, ".github/workflows/react.yml", None)
    await stage.serve("*")
    await again(stage)


async def heard(stage: Stage, title: str = EVENT, **options: Any) -> tuple[int, str | None]:
    """The hops of a run that begins there now, and how it is bound."""
    stage.held.clear()
    options = {"event": "repository_dispatch"} | options
    run = await stage.github.start_run(stage.consumer, PATH, display_title=title, **options)
    await stage.listen()
    (row,) = [row for row in await consumers(stage) if row["run_id"] == run.id]
    return row["hops"], row["bound_by"]


async def test_a_run_of_the_first_sending_counts_also_after_the_second(stage: Stage) -> None:
    react(stage, ".github/workflows/react.yml", None)
    await stage.serve("*")
    await make_durable(stage.broker, ME, ENDS, Durable(FIVE), force=True)
    await again(stage)
    stage.clock.advance(FIVE)
    assert await unproven.send_again(stage.broker) == 1
    await stage.deliver()
    await stage.github.settle()
    await stage.listen()
    found = [(row["hops"], row["bound_by"]) for row in await consumers(stage)]
    assert found == [(1, "probable")] * 2


async def test_a_run_of_a_post_that_github_did_not_answer_counts(stage: Stage) -> None:
    react(stage, ".github/workflows/react.yml", None)
    await stage.serve("*")
    stage.github.fail("POST", DISPATCHES, status=502, when="after")
    await again(stage)
    await stage.listen()
    assert (await stage.row(deliveries))["state"] == "retrying"
    assert [(row["hops"], row["bound_by"]) for row in await consumers(stage)] == [(1, "probable")]


async def test_what_github_refused_led_to_nothing(stage: Stage) -> None:
    await stage.serve("*")
    stage.github.fail("POST", DISPATCHES, status=429, headers={"retry-after": "60"})
    await again(stage)
    assert (await stage.row(deliveries))["state"] == "retrying"
    assert await heard(stage) == (0, None)


async def test_what_another_channel_took_led_to_no_run(stage: Stage) -> None:
    await sent(stage)
    await execute(stage, update(deliveries).values(channel="slack"))
    assert await heard(stage) == (0, None)


@pytest.mark.parametrize(
    ("apart", "hops"),
    [
        (timedelta(seconds=-100), 1),  # GitHub's clock is behind
        (timedelta(minutes=-3), 0),
        (timedelta(minutes=10), 1),
        (timedelta(minutes=11), 0),
    ],
)
async def test_what_was_sent_in_the_ten_minutes_before_counts(
    stage: Stage, apart: timedelta, hops: int
) -> None:
    await sent(stage)
    at = stage.clock.now() - apart
    await execute(stage, update(deliveries).values(dispatched_at=at))
    await execute(stage, update(attempts).values(at=at))
    assert (await heard(stage))[0] == hops


@pytest.mark.parametrize("moment", ["created_at", "completed_at"])
@pytest.mark.parametrize(
    ("apart", "hops"),
    [
        (timedelta(minutes=-3), 0),
        (timedelta(minutes=10), 4),
        (timedelta(minutes=10, seconds=1), 0),
    ],
)
async def test_what_began_or_ended_there_in_the_ten_minutes_before_counts_for_a_workflow_run(
    stage: Stage, moment: str, apart: timedelta, hops: int
) -> None:
    await stage.serve("*")
    await heard(stage)
    long_ago = stage.clock.now() - timedelta(days=1)
    times = dict.fromkeys(("created_at", "completed_at"), long_ago)
    times[moment] = stage.clock.now() - apart
    await execute(stage, update(runs).values(hops=4, **times))
    assert await heard(stage, event="workflow_run") == (hops, None)


async def test_of_its_event_type_what_was_sent_counts_and_else_of_any(stage: Stage) -> None:
    await sent(stage)
    await execute(stage, update(runs).values(hops=4))
    await again(stage)
    late = envelopes.c.run.in_(select(runs.c.id).where(runs.c.hops == 0))
    await execute(stage, update(envelopes).where(late).values(event_type="other"))
    assert (await heard(stage))[0] == 5
    assert (await heard(stage, "other"))[0] == 1
    assert (await heard(stage, "My own title"))[0] == 5


async def test_any_other_event_begins_anew_amid_a_chain(stage: Stage) -> None:
    await sent(stage)
    await execute(stage, update(runs).values(hops=4))
    stage.github.add_workflow(stage.consumer, PATH)
    await provide(stage, stage.consumer)
    assert await heard(stage, event="push") == (0, None)
    assert (await heard(stage))[0] == 5
