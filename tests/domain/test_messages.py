"""Messages and the drafts that must hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import repository
from tests.strategies import moments
from zekt_bot.domain.catalog import AllowedWorkflow
from zekt_bot.domain.events import Draft, Message
from zekt_bot.domain.messages import drafts_are_sensible, nests_too_deep, unwelcome

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


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, None),
        ({"provider": False}, "not_enabled"),
        ({"blocked": True, "provider": False}, "account_blocked"),
        ({"installation_id": None}, "not_installed"),
        ({"installation_state": "deleted"}, "not_installed"),
        ({"installation_state": "suspended"}, "app_suspended"),
    ],
)
def test_whose_messages_are_not_welcome(changed: dict[str, Any], reason: str | None) -> None:
    allowed = AllowedWorkflow(1, ".github/workflows/release.yml")
    assert unwelcome(repository(**changed), allowed) == reason
    assert unwelcome(repository(**changed), None) == (reason or "not_allowed")


def depth(value: Any) -> int:
    """How deep arrays and objects stand in each other."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = int(isinstance(value, list | dict))
    return own + max(map(depth, inner), default=0)


_json = st.recursive(
    st.none() | st.text(alphabet='[]{}"\\ax', max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('[{"\\', max_size=3), inner)
    ),
    max_leaves=8,
)


@given(_json, st.integers(0, 80), st.booleans())
def test_how_deep_a_message_nests_is_counted_outside_of_texts(
    value: Any, more: int, objects: bool
) -> None:
    for _ in range(more):
        value = {"[": value} if objects else [value, "]"]
    assert nests_too_deep(orjson.dumps(value)) is (depth(value) > 64)


@given(st.binary(max_size=300) | st.text('[]{}"\\', min_size=60).map(str.encode))
def test_of_no_json_it_says_something(body: bytes) -> None:
    assert nests_too_deep(body) in {True, False}
