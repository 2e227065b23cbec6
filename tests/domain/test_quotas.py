"""Days, and whether there is room for more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.domain.quotas import Quota, Used, day_of, seconds_left

numbers = st.integers(0, 10)
uses = st.builds(Used, events=numbers, messages=numbers, bytes=numbers)


@given(uses, uses)
def test_without_a_quota_there_is_always_room(used: Used, more: Used) -> None:
    assert used.leaves(Quota(), more)


@given(uses, numbers, st.integers(1, 20), st.sampled_from(["events", "messages", "bytes"]))
def test_no_more_than_the_quota_is_given(used: Used, wanted: int, most: int, kind: str) -> None:
    room = used.leaves(Quota(**{kind: most}), Used(**{kind: wanted}))
    assert room is (wanted == 0 or getattr(used, kind) + wanted <= most)


@pytest.mark.parametrize(
    ("now", "day", "left"),
    [
        (datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01", 86400),
        (datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=UTC), "2026-03-01", 1),
        (datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2026-02-28", 3600),
    ],
)
def test_a_day_is_one_of_utc(now: datetime, day: str, left: int) -> None:
    assert (day_of(now), seconds_left(now)) == (day, left)
