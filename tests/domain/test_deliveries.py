"""A delivery's states and the time of its next attempt."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.domain.deliveries import (
    GIVE_UP_AFTER,
    RETRY_SCHEDULE,
    SENDABLE,
    STATES,
    TRANSITIONS,
    DeliveryState,
    may_move,
    retry_delay,
)

# Spelled out once more, as the architecture has it.
TABLE = {
    None: "pending blocked",
    "pending": "dispatched retrying dead blocked confirmed completed failed",
    "retrying": "dispatched retrying dead blocked confirmed completed failed",
    "dispatched": "confirmed completed failed pending dead",
    "confirmed": "completed failed",
    "completed": "failed",
    "failed": "completed",
    "dead": "confirmed completed failed",
    "blocked": "",
}
PROVEN = {"confirmed", "completed", "failed"}


def test_the_table_is_the_architectures() -> None:
    assert {state: set(to) for state, to in TRANSITIONS.items()} == {
        state: set(to.split()) for state, to in TABLE.items()
    }


@given(st.data())
def test_a_walk_along_the_table_keeps_its_promises(data: st.DataObject) -> None:
    state: DeliveryState | None = None
    walked: list[DeliveryState] = []
    for _ in range(12):
        ways = sorted(TRANSITIONS[state])
        if not ways:
            break
        to = data.draw(st.sampled_from(ways))
        assert may_move(state, to)
        state = to
        walked.append(to)
    assert "blocked" not in walked[:-1], "blocked is final"
    proven = [state in PROVEN for state in walked]
    assert proven == sorted(proven), "a proof is never taken back"
    sent = walked.index("dispatched") if "dispatched" in walked else len(walked)
    assert "pending" not in walked[1:sent], "only an unconfirmed dispatch is due again"


@pytest.mark.parametrize("state", STATES)
def test_only_what_is_sendable_may_become_dispatched(state: DeliveryState) -> None:
    assert may_move(state, "dispatched") == (state in SENDABLE)


ages = st.timedeltas(min_value=timedelta(0), max_value=GIVE_UP_AFTER - timedelta(microseconds=1))


@given(st.text(), st.integers(1, 10_000), ages)
def test_a_delay_is_near_the_schedule_and_always_the_same(
    delivery_id: str, attempts: int, age: timedelta
) -> None:
    delay = retry_delay(delivery_id, attempts, age)
    base = RETRY_SCHEDULE[min(attempts, len(RETRY_SCHEDULE)) - 1]
    assert delay is not None
    assert 0.8 * base <= delay.total_seconds() <= 1.2 * base
    assert delay == retry_delay(delivery_id, attempts, timedelta(0))


@given(st.text(), st.integers(1, 10_000), st.timedeltas(min_value=timedelta(0)))
def test_after_four_days_there_is_no_other_attempt(
    delivery_id: str, attempts: int, more: timedelta
) -> None:
    late = min(more, timedelta.max - GIVE_UP_AFTER)
    assert retry_delay(delivery_id, attempts, GIVE_UP_AFTER + late) is None


def test_deliveries_that_failed_together_do_not_come_back_together() -> None:
    delays = {retry_delay(f"dlv_{number}", 1, timedelta(0)) for number in range(100)}
    assert len(delays) == 100
