"""Ids: their form, their order, their uniqueness."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import moments
from zekt_bot.domain.ids import Kind, first_id, new_correlation_id, new_id

FORM = re.compile(r"[a-z]{3}_[0-9a-z]{26}")


@pytest.mark.parametrize("kind", get_args(Kind))
def test_an_id_names_its_kind(kind: Kind) -> None:
    made = new_id(kind, datetime(2026, 1, 1, tzinfo=UTC))
    assert FORM.fullmatch(made)
    assert made.startswith(f"{kind}_")


@given(moments, st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=9000)))
def test_a_later_id_sorts_behind_an_earlier_one(now: datetime, later: timedelta) -> None:
    assert new_id("dlv", now) < new_id("dlv", now + later)


def test_a_time_before_1970_still_gives_an_id() -> None:
    assert FORM.fullmatch(new_id("inb", datetime(1900, 1, 1, tzinfo=UTC)))


def test_ids_of_one_moment_differ() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert len({new_id("evt", now) for _ in range(2000)}) == 2000


@given(moments)
def test_the_first_id_of_a_moment_stands_before_its_ids_and_behind_earlier_ones(
    moment: datetime,
) -> None:
    first = first_id("dlv", moment)
    assert FORM.fullmatch(first)
    assert first <= new_id("dlv", moment)
    assert first > new_id("dlv", moment - timedelta(milliseconds=1))


def test_each_random_character_comes_equally_often() -> None:
    counts = Counter("".join(new_correlation_id()[4:] for _ in range(4_000)))
    assert len(counts) == 32
    assert max(counts.values()) < 1.5 * min(counts.values())


def test_correlation_ids_differ_and_tell_no_time() -> None:
    made = [new_correlation_id() for _ in range(2000)]
    assert len(set(made)) == 2000
    assert all(FORM.fullmatch(each) and each.startswith("cor_") for each in made)
    assert made != sorted(made)
    assert len({each[4:8] for each in made}) > 1000, "the first characters are random too"
