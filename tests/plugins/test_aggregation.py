"""The built-in aggregation: what a finished run becomes, and how long it is waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot import (
    DEFAULT_EVENT_TYPE,
    AggregationPolicy,
    Draft,
    Job,
    Message,
    Run,
    RunKey,
)
from zekt_bot.plugins import load

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=2)
PLUGINS = load()
RUN = Run("run_1", RunKey(1, 10, 1), "cor_1", "gathering", 1, 0, None)
WAITING = replace(RUN, gather_until=LATER)
DONE = replace(RUN, aggregated_at=NOW)
DEFAULT = [Draft("event", DEFAULT_EVENT_TYPE)]


def job(number: int, status: str) -> Job:
    return Job(number, f"job {number}", status, None, None, None)


def message(number: int, event_type: str = "released") -> Message:
    return Message(f"msg_{number}", "run_1", f"evt_{number}", event_type, "0" * 64, 2, NOW)


async def aggregate(
    run: Run, jobs: Sequence[Job] = (), messages: Sequence[Message] = (), now: datetime = NOW
) -> Sequence[Draft] | datetime:
    return await PLUGINS.aggregate(run, jobs, messages, now, AggregationPolicy(2.0))


RUNNING, COMPLETED = job(1, "in_progress"), job(2, "completed")
job_lists = st.lists(
    st.builds(job, st.integers(1, 9), st.sampled_from(["queued", "in_progress", "completed"]))
)
messages = st.lists(st.integers(1, 99), unique=True).flatmap(
    lambda numbers: st.tuples(
        *(st.builds(message, st.just(n), st.sampled_from(["a", "b", "c"])) for n in numbers)
    )
)


async def test_a_run_without_messages_sends_one_default_event() -> None:
    assert await aggregate(RUN) == DEFAULT


async def test_a_run_with_messages_sends_one_envelope_a_message_and_no_default() -> None:
    assert await aggregate(RUN, [], [message(1), message(2, "deployed")]) == [
        Draft("message", "released", "msg_1"),
        Draft("message", "deployed", "msg_2"),
    ]


@pytest.mark.parametrize("jobs", [[], [RUNNING], [RUNNING, COMPLETED]])
async def test_the_jobs_that_are_missing_are_waited_for_until_the_grace_is_over(
    jobs: list[Job],
) -> None:
    assert await aggregate(WAITING, jobs, [message(1)], NOW) == LATER
    assert await aggregate(WAITING, jobs, [], LATER - timedelta(microseconds=1)) == LATER
    assert await aggregate(WAITING, jobs, [], LATER) == DEFAULT


@pytest.mark.parametrize("jobs", [[COMPLETED], [COMPLETED, job(3, "completed")]])
async def test_the_grace_ends_at_once_when_every_seen_job_has_completed(jobs: list[Job]) -> None:
    assert await aggregate(WAITING, jobs) == DEFAULT


async def test_without_a_grace_nothing_is_waited_for() -> None:
    assert await aggregate(RUN, [RUNNING]) == DEFAULT


async def test_what_comes_after_the_aggregation_is_sent_as_late_messages_at_once() -> None:
    late = replace(DONE, gather_until=LATER)
    assert await aggregate(late, [RUNNING], [message(3)]) == [
        Draft("late_message", "released", "msg_3")
    ]


async def test_a_run_that_was_aggregated_sends_no_second_default_event() -> None:
    assert await aggregate(DONE) == []


@given(
    gather=st.none() | st.integers(-3, 3), aggregated=st.booleans(), jobs=job_lists, came=messages
)
async def test_drafts_hold_each_message_exactly_once(
    gather: int | None, aggregated: bool, jobs: list[Job], came: tuple[Message, ...]
) -> None:
    run = replace(
        RUN,
        gather_until=None if gather is None else NOW + timedelta(seconds=gather),
        aggregated_at=NOW if aggregated else None,
    )
    answer = await aggregate(run, jobs, came)
    if isinstance(answer, datetime):
        assert NOW < answer == run.gather_until
        return
    carried = [(draft.message_id, draft.event_type) for draft in answer if draft.message_id]
    assert carried == [(one.id, one.event_type) for one in came]
    defaults = [draft for draft in answer if draft.message_id is None]
    assert defaults == ([] if came or aggregated else DEFAULT)
