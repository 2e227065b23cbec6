"""Audit entries and the hash that chains them."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

GENESIS = "0" * 64
SYSTEM = "zekt"
GITHUB = "github"
Details = dict[str, "str | int"]

_VERB = re.compile(r"[a-z_]+:[a-z_]+:[a-z_]+")
_WORD = re.compile(r"[A-Za-z0-9_.:@/+-]{0,64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that happened, before it is chained. `verb` is `subject:object:verb`."""

    verb: str
    actor: str
    correlation_id: str | None = None
    delivery_id: str | None = None
    account_id: int | None = None
    repository_id: int | None = None
    details: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what the audit may not hold: free text in its words."""
        if not _VERB.fullmatch(self.verb):
            raise InvalidInput(f"{self.verb!r} is no audit verb: write subject:object:verb.")
        check_details(self.details)


def check_details(details: Mapping[str, str | int]) -> None:
    """Raise InvalidInput unless `details` is ≤ 16 pairs of machine words ≤ 64 or int64."""
    if len(details) > 16:
        raise InvalidInput(f"{len(details)} audit details; at most 16 are kept.")
    for key, value in details.items():
        if not _WORD.fullmatch(key):
            raise InvalidInput(f"The audit detail {key[:64]!r} is not a machine word.")
        if isinstance(value, str):
            if not _WORD.fullmatch(value):
                raise InvalidInput(f"The audit detail {key!r} does not hold a machine word.")
        elif not isinstance(value, int) or isinstance(value, bool):
            raise InvalidInput(f"The audit detail {key!r} is neither a word nor an integer.")
        elif not -(2**63) <= value < 2**63:
            raise InvalidInput(f"The audit detail {key!r} does not fit into 64 bits.")


def machine_word(name: str) -> str:
    """A name as details may hold it: other characters become underscores."""
    return re.sub(r"[^A-Za-z0-9_.:@/+-]", "_", name)[:64]


def chain_hash(previous: str, chain: str, seq: int, at_microseconds: int, entry: Entry) -> str:
    """SHA-256 (hex) over a row and its predecessor's hash, in a canonical form."""
    row = [
        previous,
        chain,
        seq,
        at_microseconds,
        entry.actor,
        entry.verb,
        entry.correlation_id,
        entry.delivery_id,
        entry.account_id,
        entry.repository_id,
        sorted(entry.details.items()),
    ]
    return hashlib.sha256(packed(row)).hexdigest()


def packed(value: object) -> bytes:
    """Compact JSON in ASCII: what is hashed, so byte by byte what it has always been."""
    fast = orjson.dumps(value)
    if fast.isascii() and b"\x7f" not in fast:
        return fast
    return json.dumps(value, separators=(",", ":")).encode()  # which escapes all but ASCII
