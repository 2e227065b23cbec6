"""The arithmetic of pace."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import paces
from zekt_bot.domain.lanes import (
    AT_ONCE,
    MOST_A_CLAIM,
    Bucket,
    Look,
    Pace,
    Tempo,
    allowance,
    next_ready,
    next_token_at,
    paced,
    quickened,
    refill,
    slowed,
    spend,
    spread,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNPACED = Pace(per_minute=0, burst=5, in_flight=3)
seconds = st.floats(0, 600)
steps = st.lists(st.tuples(seconds, st.integers(0, 20)), max_size=40)
SLACK = 1e-6


@given(paces, steps)
def test_over_any_window_no_more_is_sent_than_burst_and_pace(
    pace: Pace, steps: list[tuple[float, int]]
) -> None:
    bucket, now, sent = Bucket(float(pace.burst), NOW), NOW, []
    for waited, in_flight in steps:
        now += timedelta(seconds=waited)
        bucket = refill(bucket, now, pace)
        assert bucket.tokens <= pace.burst
        taken = allowance(bucket, in_flight, pace)
        assert 0 <= taken <= max(0, min(pace.in_flight - in_flight, MOST_A_CLAIM))
        bucket = spend(bucket, taken, pace)
        assert bucket.tokens >= 0
        sent.append((now, taken))
    for first, (start, _) in enumerate(sent):
        total = 0
        for end, taken in sent[first:]:
            total += taken
            allowed = pace.burst + (end - start).total_seconds() * pace.per_minute / 60
            assert total <= allowed + SLACK


@given(paces, st.integers(1, 400), st.lists(st.sampled_from([None, 1.0, 7.5, 1000.0]), max_size=20))
def test_a_lane_is_never_quicker_than_it_may_nor_so_slow_that_it_learns_nothing(
    pace: Pace, most: int, limits: list[float | None]
) -> None:
    pace = replace(pace, most=most)
    tempo, now = quickened(None, NOW, pace), NOW
    for at_most in limits:
        now += timedelta(minutes=1)
        slower = slowed(tempo, now, at_most)
        assert slower.per_minute <= tempo.per_minute
        tempo = quickened(slower, now + timedelta(minutes=1), pace)
        assert min(5, pace.per_minute) <= tempo.per_minute <= max(pace.per_minute, most)
    assert paced(pace, tempo).per_minute == tempo.per_minute
    assert paced(pace, tempo._replace(per_minute=10_000)).per_minute == max(pace.per_minute, most)


@pytest.mark.parametrize("wrong_by", [timedelta(hours=3), timedelta(days=400)])
def test_a_clock_that_was_ahead_slows_nobody_for_as_long(wrong_by: timedelta) -> None:
    pace = Pace(per_minute=60, burst=5, in_flight=3)
    again = quickened(Tempo(20, NOW + wrong_by), NOW, pace)
    assert again == Tempo(20, NOW)
    assert quickened(again, NOW + timedelta(minutes=1), pace).per_minute == 30


@given(paces, st.lists(st.floats(-5, 5), min_size=1, max_size=60))
def test_clocks_that_disagree_do_not_quicken_the_pace(pace: Pace, skews: list[float]) -> None:
    """Workers on several machines look at one lane, each with its own idea of the time."""
    bucket, sent = Bucket(float(pace.burst), NOW), 0
    for number, skew in enumerate(skews):
        bucket = refill(bucket, NOW + timedelta(seconds=number + skew), pace)
        taken = allowance(bucket, 0, pace)
        bucket, sent = spend(bucket, taken, pace), sent + taken
    elapsed = len(skews) + 5
    assert sent <= pace.burst + elapsed * pace.per_minute / 60 + SLACK


@given(paces, st.floats(0, 1), st.floats(0, 10_000_000))
def test_a_clock_set_back_neither_takes_tokens_nor_stops_the_lane(
    pace: Pace, share: float, back: float
) -> None:
    bucket, earlier = Bucket(pace.burst * share, NOW), NOW - timedelta(seconds=back)
    after = refill(bucket, earlier, pace)
    assert after.tokens == bucket.tokens
    wait = next_token_at(after, pace) - earlier
    assert wait <= timedelta(seconds=60 / pace.per_minute + 10.001)


@given(paces, st.floats(0, 100))
def test_the_next_token_is_there_when_it_was_promised(pace: Pace, tokens: float) -> None:
    bucket = Bucket(min(tokens, pace.burst), NOW)
    when = next_token_at(bucket, pace)
    assert when >= NOW
    later = refill(bucket, when + timedelta(milliseconds=1), pace)
    assert allowance(later, 0, pace) >= 1


def test_without_a_pace_only_what_is_in_flight_holds_it_back() -> None:
    bucket = refill(Bucket(-3.0, NOW), NOW, UNPACED)
    assert spend(bucket, 3, UNPACED) == bucket == Bucket(5.0, NOW)
    assert allowance(bucket, 1, UNPACED) == 2
    assert allowance(bucket, 9, UNPACED) == 0
    assert next_token_at(Bucket(0.0, NOW), UNPACED) == NOW


moments = st.none() | st.floats(0.001, 600).map(lambda s: NOW + timedelta(seconds=s))


@given(paces, st.floats(0, 5), st.tuples(st.booleans(), st.booleans(), moments, moments), moments)
def test_a_lane_with_rows_is_looked_at_again_but_not_while_it_is_closed(
    pace: Pace,
    tokens: float,
    seen: tuple[bool, bool, datetime | None, datetime | None],
    open_at: datetime | None,
) -> None:
    look, bucket = Look(*seen), Bucket(tokens, NOW)
    ready = next_ready(look, bucket, open_at, pace)
    waits = look.left_due or look.next_due is not None or look.lease_end is not None
    assert (ready is not None) == waits, "never forgotten, never looked at in vain"
    if ready is None:
        return
    assert open_at is None or ready >= open_at
    latest = [moment for moment in (look.next_due, look.lease_end, open_at) if moment]
    assert ready <= max([*latest, next_token_at(bucket, pace)])


def test_a_full_lane_waits_for_the_end_of_a_lease_not_for_a_token() -> None:
    end = NOW + timedelta(seconds=30)
    look = Look(left_due=True, room=False, next_due=None, lease_end=end)
    assert next_ready(look, Bucket(4.0, NOW), None, Pace(60, 4, 3)) == end


@given(st.integers(0, 20_000), st.integers(0, 20_000))
def test_a_wide_event_leaves_room_for_others(number: int, before: int) -> None:
    """Its deliveries keep their order; in any second at most 250 more come due than at once."""
    first, last = sorted((number, before))
    apart = (spread(last) - spread(first)).total_seconds()
    assert apart >= 0
    assert last - first <= AT_ONCE + 250 * apart + 25
    assert (spread(last) == timedelta()) == (last < AT_ONCE)
