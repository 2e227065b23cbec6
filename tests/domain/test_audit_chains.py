"""Walking along a chain: what is found where, without a database."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from zekt_bot.domain.audit import GENESIS, Entry, chain_hash
from zekt_bot.domain.audit_chains import Chain, Finding, Walk, expected_hash, since

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


def test_a_checkpoint_whose_head_age_has_deleted_tells_nothing_more() -> None:
    kept = Chain("c", 1, GENESIS, 3, "3" * 64)
    now = Chain("c", 6, "5" * 64, 9, "9" * 64)
    assert list(since(kept, now, None, within_retention=False)) == []
    (found,) = since(kept, now, None, within_retention=True)
    assert found.what == "deleted before their time: 4 to 5"
