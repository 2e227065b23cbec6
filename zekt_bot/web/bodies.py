"""A request's body: read in time and size, whatever its sender does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import ClientPayloadError, web
from aiohttp.http import HttpProcessingError

from zekt_bot.errors import RequestRefused
from zekt_bot.web.deps import DEPS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta


async def read(
    request: web.Request, take: Callable[[int], None], most: int, too_large: str
) -> bytes:
    """The body; `take` is told of each piece before it is kept.

    Raises:
        RequestRefused: 408 if it does not come in time, 413 (`too_large`) beyond `most` bytes, 400
            if it is cut or malformed.
    """
    body = bytearray()
    try:
        if request.content.is_eof():  # it came with its head, as most do
            return _whole(request, take, most, too_large)
        async with asyncio.timeout(request.app[DEPS].limits.body.total_seconds()):
            async for chunk in request.content.iter_any():
                take(len(chunk))
                body += chunk
                if len(body) > most:
                    raise RequestRefused(413, too_large)
    except TimeoutError:
        raise RequestRefused(408, "The body did not come in time; send it again.") from None
    except (HttpProcessingError, ClientPayloadError, web.RequestPayloadError):
        raise RequestRefused(400, "The body is cut or its chunks are malformed.") from None
    return bytes(body)


def _whole(request: web.Request, take: Callable[[int], None], most: int, too_large: str) -> bytes:
    body: bytes = request.content.read_nowait()
    take(len(body))
    if len(body) > most:
        raise RequestRefused(413, too_large)
    return body


def within(limit: timedelta) -> asyncio.Timeout:
    """In `async with`: TimeoutError when the database takes longer, which is as good as away."""
    return asyncio.timeout(limit.total_seconds())
