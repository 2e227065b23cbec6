"""How often one address may try something in a minute."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zekt_bot.clock import Clock

_WINDOW = 60.0
_MOST_ADDRESSES = 10_000


class Tries:
    """Of one process; every minute all begin anew."""

    def __init__(self, clock: Clock, most: int) -> None:
        """`most` tries a minute of each address."""
        self._clock = clock
        self._most = most
        self._since = clock.monotonic()
        self._counts: Counter[str] = Counter()

    def allows(self, address: str) -> bool:
        """Count a try; whether it is one of the allowed ones."""
        now = self._clock.monotonic()
        if now - self._since >= _WINDOW or len(self._counts) >= _MOST_ADDRESSES:
            self._counts.clear()
            self._since = now
        self._counts[address] += 1
        return self._counts[address] <= self._most
