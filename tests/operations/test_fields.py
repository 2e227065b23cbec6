"""Reading GitHub's JSON: what is absurd is named, never raised as something else."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import moments
from zekt_bot.errors import MalformedEvent
from zekt_bot.operations import fields

if TYPE_CHECKING:
    from collections.abc import Callable

READERS: list[Callable[[dict[str, Any], str], Any]] = [
    fields.part,
    fields.optional_part,
    fields.number,
    fields.text,
    fields.optional_text,
    fields.moment,
    fields.optional_moment,
]


class _Read(Exception):
    """It was read: nothing to refuse."""


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@pytest.mark.parametrize("read", READERS)
@given(anything)
def test_whatever_github_sends_is_read_or_refused_by_name(
    read: Callable[[dict[str, Any], str], Any], value: Any
) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.suppress(_Read))
        stack.enter_context(pytest.raises(MalformedEvent, match=r"^field "))
        read({"field": value}, "field")
        raise _Read


@given(st.integers(1, 2**63 - 1))
def test_an_id_is_read_as_it_is(number: int) -> None:
    assert fields.number({"id": number}, "id") == number


@pytest.mark.parametrize("value", [0, -1, 2**63, True, 1.0, "1", None])
def test_what_is_no_id_is_refused(value: Any) -> None:
    with pytest.raises(MalformedEvent, match="id is not a positive"):
        fields.number({"id": value}, "id")


@given(st.text(max_size=20))
def test_a_text_is_kept_but_for_nul(text: str) -> None:
    assert fields.text({"t": text}, "t") == text.replace("\0", "\ufffd")


def test_a_long_text_is_refused() -> None:
    with pytest.raises(MalformedEvent, match="1001 characters"):
        fields.text({"t": "x" * 1001}, "t")


@given(moments)
def test_a_time_is_read_in_both_of_githubs_ways(when: datetime) -> None:
    second = when.replace(microsecond=0)
    iso = second.isoformat().replace("+00:00", "Z")
    assert fields.moment({"at": iso}, "at") == second
    assert fields.moment({"at": int(second.timestamp())}, "at") == second


@pytest.mark.parametrize("value", ["9999-01-01T00:00:00Z", "soon", 10**30, True, -1, [], None])
def test_an_absurd_time_is_refused(value: Any) -> None:
    with pytest.raises(MalformedEvent, match=r"^at "):
        fields.moment({"at": value}, "at")


def test_what_may_be_missing_may_be_null() -> None:
    body = {"there": {"a": 1}, "null": None}
    assert fields.optional_part(body, "there") == {"a": 1}
    for name in ("null", "missing"):
        assert fields.optional_part(body, name) is None
        assert fields.optional_text(body, name) is None
        assert fields.optional_moment(body, name) is None


def test_a_time_with_an_offset_becomes_utc() -> None:
    found = fields.moment({"at": "2026-07-01T14:00:00+02:00"}, "at")
    assert found == datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert found.tzinfo is UTC
