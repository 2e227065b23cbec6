"""Messages and the drafts that must hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import moments
from zekt_bot.domain.events import Draft, Message
from zekt_bot.domain.messages import drafts_are_sensible

if TYPE_CHECKING:
    from datetime import datetime


def message(name: str, at: Any = None) -> Message:
    return Message(name, "run_1", f"evt_{name}", "t", "0", 1, at)


@given(moments, st.lists(st.sampled_from("abc"), unique=True), st.lists(st.sampled_from("abcd-")))
def test_each_message_stands_in_exactly_one_draft(
    at: datetime, has: list[str], named: list[str]
) -> None:
    messages = [message(each, at) for each in has]
    drafts = [Draft("message", "t", None if each == "-" else each) for each in named]
    right = sorted(has) == sorted(each for each in named if each != "-")
    assert drafts_are_sensible(drafts, messages) is right


@pytest.mark.parametrize("kind", ["", "events", "k" * 50, 5, None])
def test_a_kind_that_is_none_is_senseless(kind: Any) -> None:
    assert not drafts_are_sensible([Draft(kind, "t", "a")], [message("a")])


@pytest.mark.parametrize("event_type", ["", " t", "x" * 101, "a\0b", 5, None, b"t"])
def test_an_event_type_that_is_none_is_senseless(event_type: Any) -> None:
    assert not drafts_are_sensible([Draft("event", event_type)], [])


def test_a_message_keeps_its_event_type() -> None:
    assert not drafts_are_sensible([Draft("message", "other", "a")], [message("a")])
    assert drafts_are_sensible([Draft("message", "t", "a")], [message("a")])
