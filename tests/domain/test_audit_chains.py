"""Walking along a chain: what is found where, without a database."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, takewhile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.domain.audit import GENESIS, Entry, chain_hash
from zekt_bot.domain.audit_chains import (
    CLOCKS,
    PARTS,
    Chain,
    Checkpoint,
    Finding,
    Kept,
    Walk,
    expected_hash,
    since,
)

ENTRY = Entry("zekt:delivery:dispatched", "zekt", "cor_1", "dlv_1", 1, 2, {"status": 204})
AT = 1_000_000


def rows(count: int = 3) -> list[dict[str, Any]]:
    """A chain of so many entries, as their rows stand."""
    made: list[dict[str, Any]] = []
    previous = GENESIS
    for seq in range(1, count + 1):
        previous = chain_hash(previous, "c", seq, AT, ENTRY)
        names = ("actor", "verb", "correlation_id", "delivery_id", "account_id", "repository_id")
        facts = {name: getattr(ENTRY, name) for name in names}
        details = json.dumps(dict(ENTRY.details), separators=(",", ":"))
        made.append({"chain": "c", "seq": seq, **facts, "details": details, "hash": previous})
    return made


def chain_of(entries: list[dict[str, Any]]) -> Chain:
    return Chain("c", 1, GENESIS, len(entries), entries[-1]["hash"])


def walked(entries: list[dict[str, Any]], chain: Chain) -> list[Finding]:
    walk = Walk.along(chain)
    found = [finding for row in entries for finding in walk.step(row, AT)]
    return [*found, *walk.end(chain)]


def test_what_was_written_is_found_as_it_was() -> None:
    entries = rows()
    assert walked(entries, chain_of(entries)) == []


@pytest.mark.parametrize(
    "details",
    ['{"status": 204}', '{"status":204.0}', "{", "[]", "7", '{"a b":1}', '{"status":true}'],
)
def test_details_that_zekt_never_writes_are_found(details: str) -> None:
    entries = rows()
    entries[1]["details"] = details
    assert [found.seq for found in walked(entries, chain_of(entries))] == [2]


def test_a_gap_is_named_and_what_follows_it_is_not_blamed() -> None:
    entries = rows(5)
    (found,) = walked([entries[0], *entries[3:]], chain_of(entries))
    assert (found.seq, found.what) == (2, "entries are missing: 2 to 3")


def test_an_end_that_is_cut_off_is_named() -> None:
    entries = rows()
    (found,) = walked(entries[:1], chain_of(entries))
    assert (found.seq, found.what) == (2, "the end is cut off: 2 to 3 are missing")


def test_a_head_that_is_not_the_last_entry_is_found() -> None:
    entries = rows()
    (found,) = walked(entries, replace(chain_of(entries), head_hash="1" * 64))
    assert (found.seq, "head" in found.what) == (3, True)


def test_another_hash_blames_its_entry_and_the_next() -> None:
    entries = rows()
    entries[1]["hash"] = "1" * 64
    assert [found.seq for found in walked(entries, chain_of(entries))] == [2, 3]


def test_a_chain_of_which_nothing_is_left_is_whole() -> None:
    head = rows()[-1]["hash"]
    assert walked([], Chain("c", 4, head, 3, head)) == []


def test_a_row_without_its_parts_has_no_hash() -> None:
    assert expected_hash({**rows()[0], "verb": None}, GENESIS, AT) is None


NOW = datetime(2026, 7, 1, tzinfo=UTC)


def kept_of(made: list[datetime], days: int) -> tuple[Checkpoint, Kept]:
    """A checkpoint of a chain whose entries were `made` at these times, taken with the last."""
    chain = Chain("c", 1, GENESIS, len(made), "a" * 64)
    at = made[-1]
    kept = Kept(chain, {seq: made[seq - 1] for seq in chain.marks()} | {len(made) + 1: at})
    return Checkpoint(at, days, {"c": kept}), kept


def begun_at(first: int, length: int) -> Chain:
    """The same chain when all before `first` is gone."""
    return Chain("c", first, "a" * 64 if first > length else "b" * 64, length, "a" * 64)


# In any order: a clock may have been set back between two of them.
moments_before = st.integers(0, 60_000).map(lambda minutes: NOW - timedelta(minutes=minutes))
histories = st.lists(moments_before, min_size=1, max_size=3 * PARTS)
ages = st.integers(1, 40)


@given(made=histories, days=ages, now_set=ages, behind=st.integers(0, 3600))
def test_what_age_deletes_is_never_a_finding(
    made: list[datetime], days: int, now_set: int, behind: int
) -> None:
    """By the rule of `db/retention.py`, with the shorter setting, whichever was set before."""
    checkpoint, kept = kept_of(made, days)
    before = NOW - timedelta(days=min(days, now_set))
    gone = len(list(takewhile(lambda at: at < before, made)))
    now = begun_at(gone + 1, len(made))
    young_from = checkpoint.young_from(NOW - timedelta(seconds=behind), now_set)
    assert list(since(kept, now, None, young_from)) == []


@given(made=histories, days=ages, data=st.data())
def test_a_cut_beginning_is_found_as_far_as_its_marks_tell(
    made: list[datetime], days: int, data: st.DataObject
) -> None:
    checkpoint, kept = kept_of(made, days)
    first = data.draw(st.integers(2, len(made) + 1))
    found = list(since(kept, begun_at(first, len(made)), None, checkpoint.young_from(NOW, days)))
    told = range(1, first) if len(made) <= PARTS else [x for x in kept.times if x < first]
    oldest_that_stays = NOW + CLOCKS - timedelta(days=days)
    young = [seq for seq in told if made[seq - 1] >= oldest_that_stays]
    assert [finding.seq for finding in found] == young[:1]


@given(first=st.integers(1, 2**40), length=st.integers(0, 2**40))
def test_marks_divide_a_chain_into_even_parts(first: int, length: int) -> None:
    head = first + length
    marks = Chain("c", first, GENESIS, head, "a" * 64).marks()
    assert (marks[0], marks[-1]) == (first, head)
    assert all(0 < after - one <= -(-length // PARTS) for one, after in pairwise(marks))
    assert len(marks) <= PARTS + 1


def test_a_chain_of_which_nothing_is_left_has_no_first_mark() -> None:
    assert Chain("c", 4, "a" * 64, 3, "a" * 64).marks() == [3]


@pytest.mark.parametrize(
    ("then", "set_now", "days"), [(30, 396, 30), (396, 30, 30), (0, 30, 30), (30, 0, 30)]
)
def test_the_shorter_setting_judges(then: int, set_now: int, days: int) -> None:
    young_from = kept_of([NOW], then)[0].young_from(NOW, set_now)
    assert young_from == NOW + CLOCKS - timedelta(days=days)


def test_kept_for_ever_everything_is_too_young() -> None:
    checkpoint, kept = kept_of([datetime(1970, 1, 1, tzinfo=UTC)], 0)
    (found,) = since(kept, begun_at(2, 1), None, checkpoint.young_from(NOW, 0))
    assert found.what == "deleted before their time: 1 to 1"
