"""A request's body: read in time and size, whatever its sender does."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import ClientPayloadError, web
from aiohttp.http import HttpProcessingError

from zekt_bot.errors import RequestRefused, StorageUnavailable
from zekt_bot.web.deps import DEPS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
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


@asynccontextmanager
async def within(limit: timedelta) -> AsyncIterator[None]:
    """A database that takes longer is as good as away: who asks must hear something."""
    try:
        async with asyncio.timeout(limit.total_seconds()):
            yield
    except TimeoutError:
        raise StorageUnavailable from None
