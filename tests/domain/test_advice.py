"""Every state and every reason has two sentences of its own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest

from zekt_bot.domain.advice import NOTHING_TO_DO, Case, advise, waiting
from zekt_bot.domain.deliveries import STATES, BlockedReason, DeliveryState, WaitsFor

CASE = Case(
    state="pending",
    source="aurora-labs/payments-api",
    workflow=".github/workflows/release.yml",
    service="aurora-labs/release",
    consumer="kestrel-bank/core-sync",
    event_type="release-published",
)
NO_ACCESS = (
    "installation_gone",
    "installation_suspended",
    "repository_not_granted",
    "permission_missing",
    "repository_archived",
)


def told(**facts: Any) -> str:
    """Both sentences, each of which is one."""
    why, what_to_do = advise(replace(CASE, **facts))
    for sentence in (why, what_to_do):
        assert sentence.endswith(".")
        assert "\n" not in sentence
        assert "None" not in sentence
    return f"{why} {what_to_do}"


def test_each_state_is_told_apart() -> None:
    assert len({told(state=state) for state in STATES}) == len(STATES)


NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("lane", "due", "opens", "said"),
    [
        ("github:7", 0, 3, "waiting for GitHub until 12:03Z"),
        ("github:7", 3, 3, "waiting for GitHub until 12:03Z"),
        ("webhook:hooks.example", 0, 1443, "waiting for hooks.example until 2026-07-02 12:03Z"),
        ("github:7", 4, 3, None),
        ("github:7", 0, 0, None),
        ("github:7", None, 3, None),
        ("github:7", 0, None, None),
    ],
)
def test_what_a_closed_lane_holds_up_says_until_when(
    lane: str, due: int | None, opens: int | None, said: str | None
) -> None:
    def at(minutes: int | None) -> datetime | None:
        return None if minutes is None else NOW + timedelta(minutes=minutes)

    assert waiting(lane, at(due), at(opens), NOW) == said
    assert (said is not None) == ("limit" in told(state="retrying", waiting=said))


@pytest.mark.parametrize("state", ["pending", "retrying", "confirmed", "completed"])
def test_what_goes_on_by_itself_asks_for_nothing(state: DeliveryState) -> None:
    assert NOTHING_TO_DO in told(state=state)


def test_each_reason_to_block_is_told_apart_and_names_who_can_lift_it() -> None:
    reasons = get_args(BlockedReason)
    assert len({told(state="blocked", blocked_reason=reason) for reason in reasons}) == len(reasons)
    lost = {told(state="blocked", blocked_reason="no_access", reason=r) for r in NO_ACCESS}
    assert len(lost) == len(NO_ACCESS)
    assert all("kestrel-bank" in text for text in lost)
    assert "plugin blocked it: too_late" in told(state="blocked", blocked_reason="too_late")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"status": 502}, "GitHub answered 502; attempt 5 follows at 14:06:10Z."),
        ({}, "GitHub did not answer; attempt 5"),
        ({"reason": "plugin_failed"}, "A plugin failed to decide; attempt 5"),
        ({"reason": "decryption_failed"}, "No key opens what is stored; attempt 5"),
    ],
)
def test_a_retry_says_what_happened_and_when_it_goes_on(facts: dict[str, Any], said: str) -> None:
    at = datetime(2026, 7, 1, 14, 6, 10, tzinfo=UTC)
    assert said in told(state="retrying", attempts=4, due_at=at, **facts)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            {"status": 422, "said": "GitHub answered 422: Too large."},
            "GitHub refused the content: Too large.",
        ),
        ({"status": 422}, "GitHub refused the content."),
        ({"status": 502}, "GitHub answered 502, again and again for 96 hours."),
        ({"reason": "plugin_failed"}, "zekt plugins"),
        ({"reason": "decryption_failed"}, "ZEKT_SECRET_KEY"),
        ({"reason": "too_large"}, "made the message larger than GitHub takes"),
        ({"reason": "no_recipient"}, "zekt shield keys add kestrel-bank/core-sync FILE"),
        (
            {"reason": "unconfirmed", "attempts": 3},
            "sent 3 times, and no run of kestrel-bank/core-sync confirmed it.",
        ),
    ],
)
def test_a_dead_one_says_what_killed_it(facts: dict[str, Any], said: str) -> None:
    assert said in told(state="dead", **facts)


@pytest.mark.parametrize("waits_for", get_args(WaitsFor))
def test_a_resting_one_says_what_it_waits_for(waits_for: WaitsFor) -> None:
    assert told(waits_for=waits_for) != told()
