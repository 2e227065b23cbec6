"""What a subscription lets through."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import ran, subscription
from zekt_bot.domain.deliveries import is_past
from zekt_bot.domain.subscriptions import (
    Audience,
    Durable,
    Filters,
    Ordered,
    check_durable,
    check_filters,
    check_ordered,
    check_words,
)
from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from zekt_bot.domain.deliveries import DeliveryState

HOUR, NO_TIME = timedelta(hours=1), timedelta()


def test_without_filters_what_was_accepted_is_wanted() -> None:
    held = subscription("released")
    assert held.wants("released", ran())
    assert not held.wants("deployed", ran())


@pytest.mark.parametrize("changes", [{"state": "ended"}, {"paused": True}])
def test_what_ended_or_is_paused_wants_nothing(changes: dict[str, object]) -> None:
    assert not subscription("*", **changes).wants("released", ran())


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        (Filters(event_types=("released",)), True),
        (Filters(event_types=("deployed",)), False),
        (Filters(conclusions=("success", "failure")), True),
        (Filters(conclusions=("failure",)), False),
        (Filters(branches=("main",)), True),
        (Filters(branches=("release/*", "m*")), True),
        (Filters(branches=("release/**",)), False),
        (Filters(("released",), ("success",), ("dev",)), False),
    ],
)
def test_every_filter_must_let_it_through(filters: Filters, wanted: bool) -> None:
    assert subscription("*", filters=filters).wants("released", ran()) is wanted


def test_who_is_not_approved_filters_by_event_type_alone() -> None:
    for filters, wanted in (
        (Filters(event_types=("released",)), True),
        (Filters(conclusions=("success",)), False),
        (Filters(branches=("**",)), False),
    ):
        held = subscription("*", filters=filters, state="requested")
        assert held.wants("released", ran()) is wanted


def test_a_run_without_a_branch_fits_only_a_pattern_for_anything() -> None:
    nameless = ran(head_branch=None)
    assert Filters(branches=("**",)).keep("a", nameless)
    assert not Filters(branches=("main",)).keep("a", nameless)


def test_of_a_run_that_nobody_knows_only_the_event_type_can_be_filtered() -> None:
    assert Filters(event_types=("a",)).keep("a", None)
    assert not Filters(conclusions=("success",)).keep("a", None)
    assert not Filters(branches=("**",)).keep("a", None)


@given(st.lists(st.sampled_from(["a", "b"])), st.sampled_from(["a", "b", "c"]))
def test_a_filter_only_ever_takes_away(event_types: list[str], event_type: str) -> None:
    filtered = subscription("a", "b", filters=Filters(event_types=tuple(event_types)))
    assert filtered.wants(event_type, ran()) <= subscription("a", "b").wants(event_type, ran())


def test_sensible_filters_are_taken_as_they_are() -> None:
    filters = Filters(("released",), ("success",), ("release/**",))
    assert check_filters(filters) == filters


@pytest.mark.parametrize(
    "filters",
    [
        Filters((" a",)),
        Filters(conclusions=("good",)),
        Filters(branches=("",)),
        Filters(("a",) * 101),
        Filters(conclusions=("success",) * 101),
        Filters(branches=("main",) * 101),
    ],
)
def test_senseless_filters_are_invalid(filters: Filters) -> None:
    with pytest.raises(InvalidInput):
        check_filters(filters)


def test_words_are_few_and_without_nul() -> None:
    assert check_words("  Please.\n") == "Please."
    assert check_words("x" * 500) == "x" * 500
    for wrong in ("x" * 501, "a\0b", "a\udcffb"):
        with pytest.raises(InvalidInput):
            check_words(wrong)


@pytest.mark.parametrize(
    ("terms", "state", "waited", "past"),
    [
        (Ordered(), "pending", HOUR, False),
        (Ordered(), "retrying", HOUR, False),
        (Ordered(), "dispatched", NO_TIME, True),
        (Ordered(), "failed", NO_TIME, True),
        (Ordered(stops=True), "failed", NO_TIME, True),
        (Ordered(), "dead", NO_TIME, True),
        (Ordered(stops=True), "blocked", HOUR, False),
        (Ordered("ended", HOUR), "dispatched", NO_TIME, False),
        (Ordered("ended", HOUR), "confirmed", HOUR, True),
        (Ordered("ended"), "completed", NO_TIME, True),
        (Ordered("ended"), "failed", NO_TIME, True),
        (Ordered("ended", stops=True), "failed", 9 * HOUR, False),
    ],
)
def test_when_the_next_of_a_sequence_may_go(
    terms: Ordered, state: DeliveryState, waited: timedelta, past: bool
) -> None:
    assert is_past(terms, state, waited) is past


@pytest.mark.parametrize("after", [timedelta(minutes=1), timedelta(days=7)])
def test_the_bounds_of_waiting_are_kept(after: timedelta) -> None:
    assert check_durable(Durable(after)).after == after
    assert check_ordered(Ordered(within=after)).within == after
    beyond = after + (timedelta(seconds=1) if after > HOUR else -timedelta(seconds=1))
    for check in (
        lambda: check_durable(Durable(beyond)),
        lambda: check_ordered(Ordered(within=beyond)),
        lambda: check_durable(Durable(after, 0)),
    ):
        with pytest.raises(InvalidInput):
            check()


@given(
    st.sets(st.sampled_from(["a", "b", "*"])),
    st.sets(st.sampled_from(["a", "b"])),
    st.sampled_from(["a", "b", "c"]),
)
def test_an_audience_may_hear_what_each_of_its_subscriptions_wants(
    accepted: set[str], filtered: set[str], event_type: str
) -> None:
    filters = Filters(event_types=tuple(filtered))
    held = subscription(*accepted, filters=filters)
    audience = Audience("svc_1", held.event_types, filters, 3)
    assert audience.may_hear(event_type) is held.wants(event_type, ran())
