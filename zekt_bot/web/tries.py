"""How often one address may try something in a minute."""

from __future__ import annotations

import math
from collections import OrderedDict
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zekt_bot.clock import Clock

_WINDOW = 60.0
_MOST_ADDRESSES = 10_000


class Tries:
    """Of one process; every minute all begin anew.

    Of more than 10,000 whoever has not tried for the longest time is forgotten.
    """

    def __init__(self, clock: Clock, most: int) -> None:
        """`most` tries a minute of each address."""
        self._clock = clock
        self._most = most
        self._since = clock.monotonic()
        self._counts: OrderedDict[str, int] = OrderedDict()

    def allows(self, address: str) -> bool:
        """Count a try; whether it is one of the allowed ones."""
        now = self._clock.monotonic()
        if now - self._since >= _WINDOW:
            self._counts.clear()
            self._since = now
        whose = _whose(address)
        count = self._counts[whose] = self._counts.pop(whose, 0) + 1
        if len(self._counts) > _MOST_ADDRESSES:
            self._counts.popitem(last=False)
        return count <= self._most

    def seconds_left(self) -> int:
        """Until all begin anew, at least 1."""
        return max(1, math.ceil(_WINDOW - (self._clock.monotonic() - self._since)))


def _whose(address: str) -> str:
    """Of IPv6 the network of 64 bits: whoever has one address there has them all."""
    if ":" not in address:
        return address
    return ip_address(address).packed[:8].hex()
