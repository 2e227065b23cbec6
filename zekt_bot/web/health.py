"""`/healthz`: the process lives. `/readyz`: it can store; neither asks a worker or GitHub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.web.deps import DEPS, READINESS, answer

if TYPE_CHECKING:
    from aiohttp import web


async def healthz(_request: web.Request) -> web.Response:
    """200 as long as the process answers."""
    return answer(200, {"status": "ok"})


async def readyz(request: web.Request) -> web.Response:
    """200 if a write would be stored now, else 503."""
    limit = request.app[DEPS].limits.store
    if await request.app[READINESS].ask(limit):
        return answer(200, {"status": "ready"})
    return answer(503, {"error": "The database cannot store now."}, Retry_After="5")
