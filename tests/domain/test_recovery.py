"""Who receives a run late must have wanted it when it ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import factories
from zekt_bot.domain.catalog import AllowedWorkflow
from zekt_bot.domain.events import Run, RunFacts, RunKey
from zekt_bot.domain.recovery import (
    HOOK_DELIVERIES,
    READ_EVERY,
    RUNS,
    Coverage,
    heard_to,
    in_time,
    provides_since,
    whole,
    withheld,
)
from zekt_bot.pipeline.recovery import few_left

ENDED = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def run(recovered_at: datetime | None, facts: RunFacts | None) -> Run:
    return Run(
        "run_1", RunKey(1, 10, 1), "cor_1", "gathering", 1, 0, facts, None, None, recovered_at
    )


@pytest.mark.parametrize(
    ("recovered", "enabled", "reason"),
    [
        (None, None, None),
        (None, ENDED + HOUR, None),
        (ENDED + HOUR, None, "enabled_later"),
        (ENDED + HOUR, ENDED + timedelta(microseconds=1), "enabled_later"),
        (ENDED + HOUR, ENDED, None),
        (ENDED + 72 * HOUR, ENDED, None),
        (ENDED + 72 * HOUR + timedelta(microseconds=1), ENDED, "too_old"),
    ],
)
def test_what_is_stored_and_not_sent(
    recovered: datetime | None, enabled: datetime | None, reason: str | None
) -> None:
    repository = factories.repository(provider_since=enabled)
    found = run(recovered, factories.ran(completed_at=ENDED))
    assert withheld(found, repository, None, 72 * HOUR) == reason


@pytest.mark.parametrize(
    ("back", "allowed", "reason"),
    [
        (ENDED, None, None),
        (ENDED + timedelta(microseconds=1), None, "enabled_later"),
        (None, ENDED, None),
        (None, ENDED + timedelta(microseconds=1), "enabled_later"),
        (ENDED, ENDED + HOUR, "enabled_later"),
    ],
)
def test_what_ended_before_consent_was_whole_is_not_sent(
    back: datetime | None, allowed: datetime | None, reason: str | None
) -> None:
    repository = factories.repository(provider_since=ENDED - HOUR, heard_since=back)
    entry = AllowedWorkflow(1, factories.ran().workflow_path, since=allowed)
    found = run(ENDED + HOUR, factories.ran(completed_at=ENDED))
    assert withheld(found, repository, entry, 72 * HOUR) == reason


def test_who_provides_nothing_is_not_heard_because_its_account_came_back() -> None:
    assert provides_since(factories.repository(heard_since=ENDED)) is None


@pytest.mark.parametrize(
    ("recovered", "approved", "heard"),
    [
        (None, ENDED + HOUR, True),
        (ENDED + HOUR, ENDED + timedelta(microseconds=1), False),
        (ENDED + HOUR, ENDED, True),
        (ENDED + HOUR, None, True),
    ],
)
def test_who_was_approved_later_hears_nothing(
    recovered: datetime | None, approved: datetime | None, heard: bool
) -> None:
    held, late = factories.subscription(approved_at=approved), factories.ran(completed_at=ENDED)
    assert in_time(held, factories.repository(), run(recovered, late)) is heard


@pytest.mark.parametrize(("resumed", "heard"), [(ENDED, True), (ENDED + HOUR, False)])
def test_what_ended_during_a_pause_is_not_made_up_for(resumed: datetime, heard: bool) -> None:
    held = factories.subscription(approved_at=ENDED - HOUR, resumed_at=resumed)
    late = run(ENDED + HOUR, factories.ran(completed_at=ENDED))
    assert in_time(held, factories.repository(), late) is heard


@pytest.mark.parametrize(("back", "heard"), [(None, True), (ENDED, True), (ENDED + HOUR, False)])
def test_what_ended_while_its_consumer_was_away_is_not_made_up_for(
    back: datetime | None, heard: bool
) -> None:
    held = factories.subscription(approved_at=ENDED - HOUR)
    late = run(ENDED + HOUR, factories.ran(completed_at=ENDED))
    assert in_time(held, factories.repository(heard_since=back), late) is heard


def test_a_run_that_has_not_ended_is_not_late() -> None:
    open_run = run(ENDED, None)
    assert withheld(open_run, factories.repository(), None, HOUR) is None
    later = factories.subscription(approved_at=ENDED + HOUR)
    assert in_time(later, factories.repository(), open_run)


@pytest.mark.parametrize(
    ("covered", "problem", "heard"),
    [
        (None, None, ENDED),  # no pass has ended yet
        (None, "no list", ENDED),
        (ENDED - 3 * HOUR, None, ENDED - 3 * HOUR),
        (ENDED - HOUR / 2, "no list", ENDED - HOUR / 2),
        (ENDED - 3 * HOUR, "no list", ENDED - HOUR),  # it may never be given
        (ENDED + HOUR, None, ENDED),  # the clock was ahead
    ],
)
def test_until_when_nothing_is_missing(
    covered: datetime | None, problem: str | None, heard: datetime
) -> None:
    webhooks = Coverage("hook_deliveries", covered_to=covered, problem=problem)
    assert heard_to(webhooks, ENDED) == heard


@pytest.mark.parametrize("name", READ_EVERY)
def test_a_list_is_late_when_it_should_have_been_read_again_and_again(name: str) -> None:
    read, patience = Coverage(name, covered_to=ENDED), 3 * READ_EVERY[name]
    assert read.late(ENDED + patience, None) is None
    late = ENDED + patience + timedelta(microseconds=1)
    said = told(read, late)
    assert "Nobody has read GitHub's list" in said
    assert f"since {ENDED:%Y-%m-%d %H:%M:%SZ}." in said
    away = replace(read, problem="GitHub is away.", checked_at=late)
    assert told(away, late).endswith("Z: GitHub is away.")
    assert told(Coverage(name), ENDED).endswith(" yet.")


def told(each: Coverage, now: datetime, *, goes_on: bool = False, running: bool = True) -> str:
    """What people are told of it, of a pass that has had 1,200 of 3,000 webhooks."""
    late = each.late(now, (1_200, 3_000) if running else None)
    assert late is not None
    assert late.goes_on is goes_on
    return late.said


@pytest.mark.parametrize("name", READ_EVERY)
def test_a_backlog_that_is_being_taken_in_is_told_as_such(name: str) -> None:
    now, since = ENDED + 5 * HOUR, f"What was missed since {ENDED:%Y-%m-%d %H:%M:%SZ} is being"
    under_way = Coverage(name, covered_to=ENDED, checked_at=now - HOUR / 4)
    said = told(under_way, now, goes_on=True)
    assert said.startswith(since)
    assert ("1,200 of 3,000" in said) is (name == HOOK_DELIVERIES)
    waits = told(replace(under_way, problem=str(few_left("App"))), now, goes_on=True)
    assert waits.startswith(since)
    assert waits.endswith("It waits for the next hour's requests.")
    first = told(replace(under_way, covered_to=None), now, goes_on=True)
    assert first.startswith("What was missed is being")
    stuck: dict[str, Any]
    for stuck in ({"problem": "GitHub is away"}, {"checked_at": now - HOUR / 2}):
        assert told(replace(under_way, **stuck), now).startswith("Nobody ")
    assert told(under_way, now, running=False).startswith("Nobody ")


def read_both(
    webhooks: tuple[datetime | None, datetime | None], runs: tuple[datetime | None, datetime | None]
) -> list[Coverage]:
    return [Coverage(HOOK_DELIVERIES, *webhooks), Coverage(RUNS, *runs)]


@pytest.mark.parametrize(
    ("lists", "since", "until"),
    [
        ([], None, None),
        ([Coverage(RUNS, ENDED, ENDED + HOUR)], None, None),
        (read_both((ENDED, None), (ENDED, ENDED + HOUR)), None, None),  # the clock was ahead
        (read_both((None, None), (ENDED, ENDED + HOUR)), None, None),
        (
            read_both((ENDED - HOUR, ENDED + HOUR), (ENDED, ENDED + 2 * HOUR)),
            ENDED,
            ENDED + HOUR,
        ),
        # What is known of both does not meet.
        (
            read_both((ENDED + 2 * HOUR, ENDED + 3 * HOUR), (ENDED, ENDED + HOUR)),
            None,
            ENDED + HOUR,
        ),
    ],
)
def test_nothing_is_missing_where_all_lists_were_read(
    lists: list[Coverage], since: datetime | None, until: datetime | None
) -> None:
    assert whole(lists) == (since, until)
