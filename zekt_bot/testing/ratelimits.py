"""The primary rate limit, counted by the clock's hours.

Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zekt_bot.testing.answers import ApiRefusal

if TYPE_CHECKING:
    from zekt_bot.clock import Clock

ANONYMOUS = 60
APP = 5000


@dataclass
class Bucket:
    """One caller's hour."""

    limit: int
    reset: int
    used: int = 0

    @property
    def remaining(self) -> int:
        """How many requests are left."""
        return max(self.limit - self.used, 0)

    def headers(self) -> dict[str, str]:
        """What every answer tells of it."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
            "X-RateLimit-Used": str(self.used),
            "X-RateLimit-Resource": "core",
        }


class RateLimits:
    """Everybody's hour. `anonymous` is the limit of requests without credentials."""

    def __init__(self, clock: Clock) -> None:
        """Nobody has asked yet."""
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self.anonymous = ANONYMOUS

    def take(self, caller: str, limit: int) -> Bucket:
        """Count a request; `over` tells whether it was one too many."""
        now = int(self._clock.now().timestamp())
        bucket = self._buckets.get(caller)
        if bucket is None or now >= bucket.reset:
            bucket = self._buckets[caller] = Bucket(limit, now + 3600)
        bucket.limit = limit
        bucket.used += 1
        return bucket


def exceeded(whose: str) -> ApiRefusal:
    """GitHub's refusal when nothing remains."""
    docs = "using-the-rest-api/rate-limits-for-the-rest-api"
    return ApiRefusal(403, f"API rate limit exceeded for {whose}.", docs)
