"""Identifiers that Zekt mints: a prefix and 26 characters of `[0-9a-z]`.

Time-ordered ones are ULIDs (https://github.com/ulid/spec) in lower case: neighbours in time are
neighbours in an index. Correlation ids are wholly random, because strangers see them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from zekt_bot.domain.randomness import random_bytes

if TYPE_CHECKING:
    from datetime import datetime

Kind = Literal["dlv", "evt", "msg", "inb", "run", "svc", "sub", "rpl", "ref", "key"]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_RANDOM_BITS = 80


def _random(bits: int) -> int:
    return int.from_bytes(random_bytes(bits // 8), "big")


def _base32(number: int) -> str:
    return "".join([_PAIRS[number >> place & 1023] for place in range(120, -1, -10)])


def new_id(kind: Kind, now: datetime) -> str:
    """Mint a time-ordered id such as `dlv_01j…` (millisecond resolution)."""
    return f"{kind}_{_base32(_place(now) | _random(_RANDOM_BITS))}"


def first_id(kind: Kind, moment: datetime) -> str:
    """What stands before every id that is minted from `moment` on, and after all before it."""
    return f"{kind}_{_base32(_place(moment))}"


def _place(moment: datetime) -> int:
    milliseconds = max(0, int(moment.timestamp() * 1000)) & ((1 << 48) - 1)
    return milliseconds << _RANDOM_BITS


def new_correlation_id() -> str:
    """Mint an opaque correlation id, `cor_` and 26 random characters."""
    return f"cor_{_base32(_random(128))}"
