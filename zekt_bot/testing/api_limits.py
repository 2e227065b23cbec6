"""How much of the rate limit is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.testing.answers import answer
from zekt_bot.testing.ratelimits import PATH, Bucket, is_jwt
from zekt_bot.testing.tokens import bearer, check_jwt, check_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from zekt_bot.testing.answers import Route
    from zekt_bot.testing.core import Core


class RateLimitApi:
    """The one route of it.

    Source: https://docs.github.com/rest/rate-limit/rate-limit
    """

    def __init__(self, core: Core) -> None:
        """Answer from this host's state."""
        self._core = core

    def routes(self) -> Iterator[Route]:
        """Method, path, handler."""
        yield "GET", PATH, self.rate_limit

    async def rate_limit(self, request: web.Request) -> web.Response:
        """`GET /rate_limit`, which is not counted."""
        core, header = self._core, request.headers.get("Authorization")
        credential, token = bearer(header), None
        if credential is not None and is_jwt(credential):
            check_jwt(core.world, header)
        elif header:
            token = check_token(core.world, header)
        bucket = core.limits.look(core.limits.caller(credential, token))
        search = Bucket(30 if header else 10, bucket.reset)
        resources = {"core": bucket.told(), "search": search.told()}
        return answer(200, {"resources": resources, "rate": bucket.told()})
