"""A histogram counts each value once, in the first bucket that holds it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.domain.figures import SECONDS, Figures, Histogram


@given(st.lists(st.floats(min_value=0, max_value=100)))
def test_each_value_stands_in_the_first_bucket_that_holds_it(values: list[float]) -> None:
    histogram = Histogram(SECONDS)
    for value in values:
        histogram.observe(value)
    assert sum(histogram.counts) == len(values)
    for n, bound in enumerate(SECONDS, start=1):
        assert sum(histogram.counts[:n]) == sum(value <= bound for value in values)


def test_figures_are_told_with_their_words_and_bounds() -> None:
    figures = Figures()
    figures.webhooks["202"] += 2
    figures.limit_left.observe(4999)
    told = figures.told()
    assert told["counters"] == {"webhooks": {"202": 2}, "api": {}, "attempts": {}}
    left = told["histograms"]["limit_left"]
    assert (left["sum"], sum(left["counts"])) == (4999, 1)
    assert len(left["counts"]) == len(left["bounds"]) + 1
