"""What runs prove, in whatever order their news comes; and how far a run is from its beginning."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import ran
from zekt_bot.domain.deliveries import DeliveryState, may_move
from zekt_bot.domain.proof import (
    BoundRun,
    Sent,
    hops_after,
    meant,
    named_in,
    reports,
    verdict,
)

ONE, OTHER = f"dlv_{1:026}", f"dlv_{2:026}"
CONCLUSIONS = ("success", "neutral", "skipped", "failure", "cancelled", "a word of tomorrow")


@pytest.mark.parametrize(
    ("event", "title", "ids"),
    [
        ("repository_dispatch", f"Zekt {ONE}", (ONE,)),
        ("repository_dispatch", f"{OTHER}{ONE}, {OTHER}", (OTHER, ONE)),
        ("repository_dispatch", "released", ()),
        ("repository_dispatch", ONE.upper(), ()),
        ("push", f"Mention {ONE} in a commit", ()),
        ("workflow_run", ONE, ()),
    ],
)
def test_a_dispatched_runs_title_names_deliveries(
    event: str, title: str, ids: tuple[str, ...]
) -> None:
    assert named_in(ran(event=event, display_title=title)) == ids


@pytest.mark.parametrize(
    ("runs", "state"),
    [
        ([], None),
        ([(1, 1, "queued", None)], "confirmed"),
        ([(1, 1, None, None)], "confirmed"),
        ([(1, 1, "completed", "success")], "completed"),
        ([(1, 1, "completed", "failure")], "failed"),
        ([(1, 1, "completed", "success"), (2, 1, "queued", None)], "completed"),
        ([(1, 1, "completed", "success"), (2, 1, "completed", "failure")], "failed"),
        ([(1, 1, "completed", "failure"), (1, 2, "in_progress", None)], "failed"),
        ([(1, 1, "completed", "failure"), (1, 2, "completed", "success")], "completed"),
        ([(1, 2, "completed", "failure"), (1, 1, "completed", "success")], "failed"),
        ([(1, 1, "completed", "failure"), (2, 2, "completed", "success")], "failed"),
    ],
)
def test_the_newest_ended_attempt_of_each_run_counts(
    runs: list[tuple[int, int, str | None, str | None]], state: DeliveryState | None
) -> None:
    for order in itertools.permutations(runs):
        assert verdict(BoundRun(*each) for each in order) == state


attempts = st.tuples(st.integers(1, 3), st.integers(1, 3))
news = st.dictionaries(attempts, st.one_of(st.none(), st.sampled_from(CONCLUSIONS)), min_size=1)


@given(news, st.sampled_from(["pending", "retrying", "dispatched", "dead"]), st.data())
def test_the_order_of_the_news_does_not_matter(
    ends: dict[tuple[int, int], str | None], state: DeliveryState, data: st.DataObject
) -> None:
    told = [(key, False) for key in ends] + [(key, True) for key, end in ends.items() if end]
    seen: dict[tuple[int, int], BoundRun] = {}
    for key, ended in data.draw(st.permutations(told)):
        if ended:
            seen[key] = BoundRun(*key, "completed", ends[key])
        else:
            seen.setdefault(key, BoundRun(*key, "in_progress", None))
        to = verdict(seen.values())
        assert to is not None
        assert to == state or may_move(state, to)
        state = to
    assert state == verdict(
        BoundRun(*key, "completed" if end else "in_progress", end) for key, end in ends.items()
    )


@pytest.mark.parametrize(
    ("sent", "hops"),
    [(Sent(), 0), (Sent(of_any=0), 1), (Sent(of_any=5), 6), (Sent(of_type=2, of_any=5), 3)],
)
def test_a_run_of_unknown_cause_is_one_beyond_the_farthest_that_may_have_caused_it(
    sent: Sent, hops: int
) -> None:
    assert hops_after(sent) == hops


@pytest.mark.parametrize(
    ("runs", "state"),
    [
        ([(1, 1, None, None, "success")], "completed"),
        ([(1, 1, None, None, "failure")], "failed"),
        ([(1, 1, "completed", "success", "failure")], "failed"),
        ([(1, 1, "completed", "failure", "success")], "failed"),
        ([(1, 1, "completed", "success", "success")], "completed"),
        ([(1, 1, "in_progress", None, "failure"), (1, 2, None, None, "success")], "completed"),
        ([(1, 1, None, None, "success"), (2, 1, None, None, None)], "completed"),
        ([(1, 1, None, None, "failure"), (1, 2, None, None, None)], "failed"),
    ],
)
def test_what_a_run_says_counts_beside_what_github_says(
    runs: list[tuple[int, int, str | None, str | None, str | None]], state: DeliveryState
) -> None:
    for order in itertools.permutations(runs):
        assert verdict(BoundRun(*each) for each in order) == state


def test_a_failure_that_was_reported_stays() -> None:
    assert reports(None, None) is None
    assert reports(None, "success") == reports("success", None) == "success"
    assert {reports("failure", "success"), reports("success", "failure")} == {"failure"}


@pytest.mark.parametrize(
    ("found", "bound", "chosen"),
    [
        ({}, None, None),
        ({ONE: "blocked"}, None, None),
        ({ONE: "dispatched"}, None, ONE),
        ({ONE: "dead"}, None, ONE),
        ({ONE: "confirmed", OTHER: "retrying"}, None, OTHER),
        ({ONE: "dispatched", OTHER: "pending"}, None, (ONE, OTHER)),
        ({ONE: "dispatched", OTHER: "pending"}, OTHER, OTHER),
        ({ONE: "completed", OTHER: "failed"}, None, OTHER),
        ({ONE: "completed", OTHER: "blocked"}, None, ONE),
        ({ONE: "completed"}, OTHER, ONE),
    ],
)
def test_which_delivery_a_correlation_id_means(
    found: dict[str, DeliveryState], bound: str | None, chosen: str | tuple[str, ...] | None
) -> None:
    assert meant(found, bound) == chosen
