"""`/status`: what `zekt status` shows, as JSON, for those who may read it."""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from zekt_bot.errors import StorageUnavailable
from zekt_bot.web.deps import DEPS, STATUS, answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Handler = Callable[[web.Request], Awaitable[web.Response]]

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


async def status(request: web.Request) -> web.Response:
    """Who works, what waits and since when, and since when nothing was missed."""
    found = await figures(request)
    if isinstance(found, web.Response):
        return found
    return web.Response(
        body=orjson.dumps(found, option=orjson.OPT_UTC_Z), content_type="application/json"
    )


async def figures(request: web.Request) -> Mapping[str, Any] | web.Response:
    """What `operations.status.status` found, at most five seconds old; or why this is not told."""
    if refusal := _refused(request):
        return refusal
    try:
        return await request.app[STATUS].get()
    except StorageUnavailable:
        return answer(503, {"error": "The database cannot be asked now."}, Retry_After="5")


def _refused(request: web.Request) -> web.Response | None:
    """The refusal of one who may not read this; None: they may.

    With tokens, who shows one. Without, who connects from this machine and is no proxy's client.
    """
    tokens = request.app[DEPS].settings.metrics_tokens
    if not tokens:
        if _is_local(request):
            return None
        said = "Only the server's own machine may read this until ZEKT_METRICS_TOKEN is set."
        return answer(403, {"error": said})
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    offered = shown.strip().encode(errors="surrogateescape")
    fits = [hmac.compare_digest(token.encode(), offered) for token in tokens]
    if scheme.lower() == "bearer" and any(fits):
        return None
    said = "Send `Authorization: Bearer` and the token in ZEKT_METRICS_TOKEN."
    return answer(401, {"error": said}, WWW_Authenticate="Bearer")


def _is_local(request: web.Request) -> bool:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not peer or any(name in request.headers for name in _FORWARDED):
        return False
    return ip_address(peer[0]).is_loopback
