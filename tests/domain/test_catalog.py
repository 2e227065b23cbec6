"""What providers publish and consumers subscribe to: names, paths, event types, moves."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.factories import ran, repository, service, subscription
from zekt_bot.domain.catalog import (
    VISIBILITIES,
    Conditions,
    InstallationState,
    Profile,
    Visibility,
    check_conditions,
    check_profile,
    fits,
    standing,
)
from zekt_bot.domain.subscriptions import SUBSCRIPTION_MOVES, SubscriptionState
from zekt_bot.errors import InvalidInput


@pytest.mark.parametrize(
    ("named", "asked", "answer"),
    [
        (("a",), "a", True),
        (("a",), "b", False),
        ((), "a", False),
        (("*",), "b", True),
        (("a*",), "ab", False),
    ],
)
def test_event_types_are_declared_and_accepted_by_name(
    named: tuple[str, ...], asked: str, answer: bool
) -> None:
    assert service(*named).declares(asked) is answer
    assert subscription(*named).wants(asked, ran()) is answer


@pytest.mark.parametrize("state", [None, *get_args(InstallationState)])
@pytest.mark.parametrize("installation", [None, 7])
def test_consent_needs_an_active_installation(
    installation: int | None, state: InstallationState | None
) -> None:
    found = repository(installation_id=installation, installation_state=state)
    assert found.consented == (installation == 7 and state == "active")


def test_every_state_of_a_subscription_has_its_moves_and_none_skips_the_provider() -> None:
    reached = {to for _, to in SUBSCRIPTION_MOVES.values()}
    assert reached == set(get_args(SubscriptionState))
    left = {state for sources, _ in SUBSCRIPTION_MOVES.values() for state in sources}
    assert left == {None, *get_args(SubscriptionState)}
    to_approved = {
        verb: sources for verb, (sources, to) in SUBSCRIPTION_MOVES.items() if to == "approved"
    }
    assert to_approved == {"accept": {"invited"}, "approve": {"requested"}}


words = st.text("abc-", min_size=1, max_size=5)
branches = st.lists(words, min_size=1, max_size=4).map("/".join)


@given(branches)
def test_a_branch_fits_itself_and_two_stars(branch: str) -> None:
    for pattern in (branch, "**", f"{branch[0]}**"):
        assert refusal((pattern,), branch) is None


@given(branches)
def test_one_star_stops_at_a_slash(branch: str) -> None:
    assert (refusal(("*",), branch) is None) == ("/" not in branch)
    assert refusal(("/".join("*" for _ in branch.split("/")),), branch) is None


@given(st.text(min_size=1), st.text())
def test_all_else_in_a_pattern_is_only_itself(pattern: str, branch: str) -> None:
    assume("*" not in pattern)
    assert (refusal((pattern,), branch) is None) == (pattern == branch)


@given(st.text("ab*/\n", max_size=8), st.text("ab/\n", max_size=8))
def test_one_star_is_all_but_a_slash_and_two_are_all(pattern: str, branch: str) -> None:
    known = {"**": "(?s:.)*", "*": "[^/]*"}
    meant = (known.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*)", pattern))
    assert fits(pattern, branch) == bool(re.fullmatch("".join(meant), branch))


@pytest.mark.parametrize("pattern", ["**a" * 84 + "**b", "*a" * 126 + "*b", "*" * 255, "*é" * 127])
def test_no_pattern_takes_long_whatever_the_branch(pattern: str) -> None:
    for branch in ("a" * 255, "a/" * 127, "é" * 255):
        assert (refusal((pattern,), branch) is None) == (
            pattern == "*" * 255 or (pattern.startswith("*é") and branch.startswith("é"))
        )


def refusal(patterns: tuple[str, ...], branch: str) -> str | None:
    return Conditions(branches=patterns).refuse(ran(head_branch=branch), from_fork=False)


@pytest.mark.parametrize("visibility", VISIBILITIES)
@pytest.mark.parametrize("published", [True, False])
def test_only_what_is_published_and_public_is_open_to_all(
    published: bool, visibility: Visibility
) -> None:
    found = service(published=published, profile=Profile(visibility=visibility))
    assert found.open_to_all is (published and visibility == "public")


def test_any_type_is_warned_of() -> None:
    assert service("a").warnings == ()
    assert "(*)" in service("*").warnings[0]


@pytest.mark.parametrize("description", ["x" * 10_001, "a\0b", "a\udcffb"])
def test_a_description_is_text_of_some_length(description: str) -> None:
    with pytest.raises(InvalidInput, match="10,000"):
        check_profile(Profile(description=description))


def test_so_many_event_types_are_declared_at_most() -> None:
    types = tuple(f"type-{number}" for number in range(101))
    assert check_profile(Profile(event_types=types[:100])).event_types == types[:100]
    with pytest.raises(InvalidInput, match="100 event types"):
        check_profile(Profile(event_types=types))


@pytest.mark.parametrize(
    ("part", "named"), [("branches", "main"), ("events", "push"), ("conclusions", "success")]
)
def test_a_condition_names_so_many_at_most(part: str, named: str) -> None:
    def naming(number: int) -> Conditions:
        changed: dict[str, Any] = {part: (named,) * number}
        return Conditions(**changed)

    assert check_conditions(naming(100)) == naming(100)
    with pytest.raises(InvalidInput, match=f"100 {part}"):
        check_conditions(naming(101))


def test_a_hidden_source_without_an_alias_has_no_name_for_consumers() -> None:
    assert service(profile=Profile(alias="aurora", hidden_source=True)).shown_owner == "aurora"
    assert service(profile=Profile(hidden_source=True)).shown_owner == "?"


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({}, "disabled"),
        ({"provider": True}, "provider"),
        ({"consumer": True}, "consumer"),
        ({"provider": True, "consumer": True}, "both"),
        ({"provider": True, "archived": True}, "archived"),
        ({"provider": True, "installation_state": "suspended"}, "app_suspended"),
        ({"provider": True, "installation_state": "deleted"}, "not_installed"),
        ({"installation_id": None}, "not_installed"),
        ({"provider": True, "installation_state": "suspended", "blocked": True}, "account_blocked"),
    ],
)
def test_what_keeps_a_repository_away_is_shown_before_what_it_takes_part_as(
    changed: dict[str, Any], wanted: str
) -> None:
    plain = {"provider": False, "consumer": False, "archived": False, "blocked": False}
    there = {"installation_id": 3, "installation_state": "active"}
    assert standing(repository(**{**plain, **there, **changed})) == wanted


@pytest.mark.parametrize(
    ("changes", "obstacle"),
    [
        ({}, None),
        ({"blocked": True}, "account_blocked"),
        ({"blocked": True, "installation_id": None, "archived": True}, "account_blocked"),
        ({"installation_state": "suspended", "archived": True}, "app_suspended"),
        ({"installation_state": "deleted"}, "not_installed"),
        ({"installation_id": None, "installation_state": None}, "not_installed"),
        ({"archived": True, "lacks": ("contents",)}, "archived"),
        ({"lacks": ("contents",)}, "permission_missing"),
    ],
)
def test_what_stands_in_the_way_is_named_the_strongest_first(
    changes: dict[str, Any], obstacle: str | None
) -> None:
    assert repository(**changes).obstacle == obstacle
