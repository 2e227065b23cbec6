"""What was read is kept for as long as its version stands."""

from __future__ import annotations

from zekt_bot.db.kept import KeptFacts


def test_what_is_kept_is_read_once_a_version_and_the_longest_unused_goes_first() -> None:
    kept, reads = KeptFacts(most=2), []

    def read(keys: list[str]) -> dict[str, str]:
        reads.extend(keys)
        return {key: key.upper() for key in keys}

    assert kept.of("row", {"a": 1, "b": 1}, read) == {"a": "A", "b": "B"}
    assert kept.of("row", {"a": 1}, read) == {"a": "A"}
    assert reads == ["a", "b"]
    kept.of("row", {"a": 2}, read)  # its version moved; what was read of `b` goes
    kept.of("row", {"b": 1}, read)
    assert reads == ["a", "b", "a", "b"]


def test_ten_thousand_lanes_in_turn_are_read_once() -> None:
    kept, reads = KeptFacts(), []

    def read(keys: list[int]) -> dict[int, int]:
        reads.extend(keys)
        return dict.fromkeys(keys, 0)

    for _ in range(2):
        for first in range(0, 10_000, 64):
            page = dict.fromkeys(range(first, min(first + 64, 10_000)), 1)
            for kind in ("repository", "service", "subscription"):
                kept.of(kind, page, read)
    assert len(reads) == 30_000
