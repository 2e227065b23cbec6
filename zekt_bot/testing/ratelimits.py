"""The primary rate limit, counted by the clock's hours.

Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zekt_bot.testing.answers import ApiRefusal

if TYPE_CHECKING:
    from zekt_bot.clock import Clock
    from zekt_bot.testing.model import Token

ANONYMOUS = 60
APP = 5000
USER = 5000
PATH = "/rate_limit"
_GOOD_NEWS = (
    "But here's the good news: Authenticated requests get a higher rate limit. Check out the "
    "documentation for more details."
)


@dataclass(frozen=True)
class Caller:
    """Who is counted together; `whose` is how the refusal names them, None: never refused."""

    key: str
    limit: int
    whose: str | None = None


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

    def told(self) -> dict[str, int]:
        """What `GET /rate_limit` tells of it."""
        told = {"limit": self.limit, "used": self.used, "remaining": self.remaining}
        return {**told, "reset": self.reset}


class RateLimits:
    """Everybody's hour. `anonymous` is the limit of requests without credentials."""

    def __init__(self, clock: Clock) -> None:
        """Nobody has asked yet."""
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self.anonymous = ANONYMOUS

    def caller(self, credential: str | None, token: Token | None) -> Caller:
        """Who asks with this credential, which may be an installation's token."""
        if token is not None:
            number = token.installation.id
            limit = token.installation.rate_limit
            return Caller(f"installation {number}", limit, f"installation ID {number}")
        if credential is None:
            return Caller("anonymous", self.anonymous, "127.0.0.1")
        return Caller("app", APP) if is_jwt(credential) else Caller("unknown", ANONYMOUS)

    def look(self, caller: Caller) -> Bucket:
        """The caller's hour."""
        now = int(self._clock.now().timestamp())
        bucket = self._buckets.get(caller.key)
        if bucket is None or now >= bucket.reset:
            bucket = self._buckets[caller.key] = Bucket(caller.limit, now + 3600)
        bucket.limit = caller.limit
        return bucket

    def take(self, caller: Caller) -> tuple[Bucket, ApiRefusal | None]:
        """Count a request; the refusal if it was one too many."""
        bucket = self.look(caller)
        bucket.used += 1
        over = caller.whose is not None and bucket.used > bucket.limit
        return bucket, _exceeded(caller) if over else None


def is_jwt(credential: str) -> bool:
    """Whether an App asks, and not an installation's token, which has dots too."""
    return credential.count(".") == 2 and not credential.startswith("ghs_")


def _exceeded(caller: Caller) -> ApiRefusal:
    docs = "using-the-rest-api/rate-limits-for-the-rest-api"
    said = f"API rate limit exceeded for {caller.whose}."
    if caller.key == "anonymous":
        said += f" ({_GOOD_NEWS})"
    return ApiRefusal(403, said, docs)
