"""What was read is kept for as long as its version stands."""

from __future__ import annotations

from zekt_bot.db.outgoing import Kept


def test_what_is_kept_is_read_once_a_version_and_the_longest_unused_goes_first() -> None:
    kept, reads = Kept(most=2), []

    def read(keys: list[str]) -> dict[str, str]:
        reads.extend(keys)
        return {key: key.upper() for key in keys}

    assert kept.of("row", {"a": 1, "b": 1}, read) == {"a": "A", "b": "B"}
    assert kept.of("row", {"a": 1}, read) == {"a": "A"}
    assert reads == ["a", "b"]
    kept.of("row", {"a": 2}, read)  # its version moved; what was read of `b` goes
    kept.of("row", {"b": 1}, read)
    assert reads == ["a", "b", "a", "b"]
