"""What was granted beside what is asked for, and how an account stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.domain.consent import Installation, Permission, compared, lacking, state_of

if TYPE_CHECKING:
    from zekt_bot.domain.catalog import InstallationState

NAMES = st.sampled_from(["actions", "contents", "metadata", "issues"])
LEVELS = st.sampled_from(["read", "write", "admin"])
GRANTS = st.dictionaries(NAMES, LEVELS)


def there(state: InstallationState) -> Installation:
    return Installation(1, 2, state, "all", {}, datetime.now(UTC))


@pytest.mark.parametrize(
    ("wanted", "granted", "waits"),
    [
        ("read", "", True),
        ("write", "read", True),
        ("read", "read", False),
        ("read", "write", False),
        ("write", "admin", False),
        ("", "write", False),
        ("read", "something new", True),
        ("something new", "", False),
    ],
)
def test_less_than_is_asked_for_waits(wanted: str, granted: str, waits: bool) -> None:
    assert Permission("contents", wanted, granted).waits is waits


@given(GRANTS, GRANTS)
def test_each_permission_is_told_once_and_what_is_asked_for_comes_first(
    wanted: dict[str, str], granted: dict[str, str]
) -> None:
    found = compared(wanted, granted)
    assert [each.name for each in found[: len(wanted)]] == list(wanted)
    assert {each.name: (each.wanted, each.granted) for each in found} == {
        name: (wanted.get(name, ""), granted.get(name, "")) for name in wanted | granted
    }


@given(GRANTS)
def test_whoever_grants_what_is_asked_for_is_waited_for_by_nobody(wanted: dict[str, str]) -> None:
    permissions = compared(wanted, wanted)
    assert state_of(there("active"), permissions, blocked=False) == "active"


@pytest.mark.parametrize(
    ("provider", "consumer", "granted", "lacks"),
    [
        (True, True, {}, ("actions", "contents")),
        (True, False, {"contents": "write"}, ("actions",)),
        (False, True, {"actions": "read", "contents": "read"}, ("contents",)),
        (True, True, {"actions": "read", "contents": "write"}, ()),
        (False, False, {}, ()),
    ],
)
def test_what_is_lacked_is_what_its_part_needs(
    provider: bool, consumer: bool, granted: dict[str, str], lacks: tuple[str, ...]
) -> None:
    assert lacking(granted, provider=provider, consumer=consumer) == lacks


LACKING = compared({"contents": "write"}, {})


@pytest.mark.parametrize(
    ("installation", "blocked", "state"),
    [
        (None, False, "removed"),
        (there("deleted"), True, "removed"),
        (there("suspended"), True, "blocked"),
        (there("suspended"), False, "suspended"),
        (there("active"), False, "waits"),
    ],
)
def test_what_matters_most_is_told(
    installation: Installation | None,
    blocked: bool,
    state: str,
) -> None:
    assert state_of(installation, LACKING, blocked=blocked) == state
