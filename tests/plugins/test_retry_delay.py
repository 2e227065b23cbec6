"""The schedule of retries: its waits grow, are bounded, and end."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.github.server import CONSUMER
from tests.plugins.sending import PLUGINS
from zekt_bot import GIVE_UP_AFTER, Attempt, Delivery, Outcome, retry_delay

DELIVERY = Delivery(
    "dlv_1",
    "evt_1",
    "s",
    "sub_1",
    0,
    CONSUMER,
    "c",
    "l",
    "retrying",
    1,
    datetime(2026, 7, 1, tzinfo=UTC),
)
LONGEST = timedelta(hours=6) * 1.2
ids = st.from_regex(r"dlv_[0-9a-z]{26}", fullmatch=True)


async def delay(delivery_id: str, n: int, age: timedelta) -> timedelta | None:
    attempt = Attempt(replace(DELIVERY, id=delivery_id), n, Outcome("retry", status=502), age)
    return await PLUGINS.retry_delay(attempt)


@given(ids)
async def test_each_wait_is_at_least_as_long_as_the_one_before_until_the_last_step(
    delivery_id: str,
) -> None:
    waits = [await delay(delivery_id, n, timedelta()) for n in range(1, 12)]
    known = [wait for wait in waits if wait is not None]
    assert known == sorted(known)
    assert len(known) == 11
    assert known[0] <= timedelta(seconds=6)


@given(ids, st.integers(1, 10**6), st.timedeltas(timedelta(), GIVE_UP_AFTER * 2))
async def test_a_wait_is_bounded_and_ends_after_four_days(
    delivery_id: str, n: int, age: timedelta
) -> None:
    wait = await delay(delivery_id, n, age)
    assert (wait is None) == (age >= GIVE_UP_AFTER)
    assert wait is None or timedelta(seconds=4) <= wait <= LONGEST
    assert wait == await delay(delivery_id, n, age) == retry_delay(delivery_id, n, age)


@given(ids)
async def test_a_delivery_that_always_fails_is_given_up(delivery_id: str) -> None:
    age, tries = timedelta(), 1
    while (wait := await delay(delivery_id, tries, age)) is not None:
        age, tries = age + wait, tries + 1
        assert tries < 50
    assert GIVE_UP_AFTER <= age < GIVE_UP_AFTER + LONGEST
