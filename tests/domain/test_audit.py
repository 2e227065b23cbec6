"""What an audit row may hold, and the hash that chains it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.strategies import audit_details, entries, machine_words
from zekt_bot.domain.audit import GENESIS, Entry, chain_hash, check_details, packed
from zekt_bot.errors import InvalidInput

BASE = Entry(
    "zekt:delivery:dispatched",
    "zekt",
    correlation_id="cor_1",
    delivery_id="dlv_1",
    account_id=1,
    repository_id=2,
    details={"status": 204},
)


@given(audit_details)
def test_words_and_integers_are_kept(details: dict[str, str | int]) -> None:
    check_details(details)
    assert Entry("a:b:c", "zekt", details=details).details == details


@pytest.mark.parametrize(
    "details",
    [
        {f"key{number}": 1 for number in range(17)},
        {"key": "two words"},
        {"key": "x" * 65},
        {"key": "a\n"},
        {"key": "é"},
        {"two words": 1},
        {"x" * 65: 1},
        {"key": True},
        {"key": 1.5},
        {"key": None},
        {"key": 2**63},
        {"key": -(2**63) - 1},
        {"key": b"bytes"},
        {"key": ["list"]},
    ],
)
def test_anything_else_is_refused(details: Any) -> None:
    with pytest.raises(InvalidInput):
        check_details(details)
    with pytest.raises(InvalidInput):
        Entry("a:b:c", "zekt", details=details)


@given(st.text(min_size=65) | st.text(st.characters(min_codepoint=0x80), min_size=1))
def test_a_text_that_is_no_word_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InvalidInput, match="'key'") as refused:
        check_details({"key": text})
    assert text not in str(refused.value)


@pytest.mark.parametrize("verb", ["", "a:b", "a:b:c:d", "A:b:c", "a:b:c\n", "a b:c:d", "1:b:c"])
def test_a_verb_is_subject_object_verb(verb: str) -> None:
    with pytest.raises(InvalidInput):
        Entry(verb, "zekt")


def other(**values: Any) -> Entry:
    return replace(BASE, **values)


@pytest.mark.parametrize(
    ("previous", "chain", "seq", "at", "entry"),
    [
        ("1" * 64, "chain-0000", 1, 5, BASE),
        (GENESIS, "chain-0001", 1, 5, BASE),
        (GENESIS, "chain-0000", 2, 5, BASE),
        (GENESIS, "chain-0000", 1, 6, BASE),
        (GENESIS, "chain-0000", 1, 5, other(verb="zekt:delivery:dead")),
        (GENESIS, "chain-0000", 1, 5, other(actor="zekt2")),
        (GENESIS, "chain-0000", 1, 5, other(correlation_id=None)),
        (GENESIS, "chain-0000", 1, 5, other(delivery_id=None)),
        (GENESIS, "chain-0000", 1, 5, other(correlation_id="dlv_1", delivery_id="cor_1")),
        (GENESIS, "chain-0000", 1, 5, other(account_id=2, repository_id=1)),
        (GENESIS, "chain-0000", 1, 5, other(account_id=None)),
        (GENESIS, "chain-0000", 1, 5, other(repository_id=None)),
        (GENESIS, "chain-0000", 1, 5, other(details={"status": "204"})),
        (GENESIS, "chain-0000", 1, 5, other(details={"status": 204, "more": 1})),
        (GENESIS, "chain-0000", 1, 5, other(details={})),
    ],
)
def test_the_hash_feels_every_field(
    previous: str, chain: str, seq: int, at: int, entry: Entry
) -> None:
    assert chain_hash(previous, chain, seq, at, entry) != chain_hash(
        GENESIS, "chain-0000", 1, 5, BASE
    )


@given(entries, entries)
def test_two_entries_have_two_hashes(one: Entry, two: Entry) -> None:
    assume(one != two)
    assert chain_hash(GENESIS, "c", 1, 0, one) != chain_hash(GENESIS, "c", 1, 0, two)


@given(entries, machine_words, machine_words)
def test_the_order_of_details_does_not_matter(entry: Entry, one: str, two: str) -> None:
    details: dict[str, str | int] = {one: 1, two: "2"}
    turned = dict(reversed(list(details.items())))
    first, second = (replace(entry, details=each) for each in (details, turned))
    assert chain_hash(GENESIS, "c", 1, 0, first) == chain_hash(GENESIS, "c", 1, 0, second)


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.text() | audit_details))
def test_what_is_hashed_is_written_as_ever(values: list[Any]) -> None:
    assert packed(values) == json.dumps(values, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("actor", "kept"),
    [
        ("zekt", "1f12188e0ed4a97964dd67d755f40dd6c51d27fb6b428d8f978ceba7c99f9203"),
        ("Zoë\x7f", "b038d3d89145919df810eeff67bdf01f628e7a274f4034a4357b71fb2d7e2b05"),
    ],
)
def test_a_hash_is_what_it_was_when_it_was_first_written(actor: str, kept: str) -> None:
    assert chain_hash(GENESIS, "chain-0000", 1, 5, other(actor=actor)) == kept
