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
_BY_BYTE = (_ALPHABET * 8).encode()  # 256: so each character comes equally often


def new_id(kind: Kind, now: datetime) -> str:
    """Mint a time-ordered id such as `dlv_01j…` (millisecond resolution)."""
    return f"{kind}_{_of_time(now)}{_random(16)}"


def first_id(kind: Kind, moment: datetime) -> str:
    """What stands before every id that is minted from `moment` on, and after all before it."""
    return f"{kind}_{_of_time(moment)}{'0' * 16}"


def new_correlation_id() -> str:
    """Mint an opaque correlation id, `cor_` and 26 random characters."""
    return f"cor_{_random(26)}"


def _of_time(moment: datetime) -> str:
    """Its milliseconds as ten characters, five bits each."""
    ms = max(0, int(moment.timestamp() * 1000))
    high = f"{_PAIRS[ms >> 40 & 1023]}{_PAIRS[ms >> 30 & 1023]}{_PAIRS[ms >> 20 & 1023]}"
    return f"{high}{_PAIRS[ms >> 10 & 1023]}{_PAIRS[ms & 1023]}"


def _random(characters: int) -> str:
    return random_bytes(characters).translate(_BY_BYTE).decode()
