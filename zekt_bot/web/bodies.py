"""A request's body: read in time and size, whatever its sender does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import ClientPayloadError, web
from aiohttp.http import HttpProcessingError

from zekt_bot.errors import RequestRefused, StorageUnavailable
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


class Patience:
    """How long who asks waits for the database: one that takes longer is as good as away.

    All wait equally long, so one timer is enough, set for the one who waits longest. Of timers of
    their own, as `asyncio.timeout` sets, next to none would ever ring.
    """

    def __init__(self, limit: timedelta) -> None:
        """Nobody waits yet."""
        self._seconds = limit.total_seconds()
        self._waiting: dict[_Wait, float] = {}  # until when; who came first stands first
        self._timer: asyncio.TimerHandle | None = None

    def waiting(self) -> _Wait:
        """In `with`: raises StorageUnavailable when what is done there takes too long."""
        return _Wait(self)

    def begin(self, wait: _Wait) -> None:
        """Let it last so long from now on."""
        loop = asyncio.get_running_loop()
        until = self._waiting[wait] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(until, self._ring)

    def end(self, wait: _Wait) -> bool:
        """Whether it has ended already, because it took too long."""
        return self._waiting.pop(wait, None) is None

    def _ring(self) -> None:
        loop, self._timer = asyncio.get_running_loop(), None
        for wait, until in list(self._waiting.items()):
            if until > loop.time():
                self._timer = loop.call_at(until, self._ring)
                return
            del self._waiting[wait]
            wait.task.cancel()


class _Wait:
    __slots__ = ("_before", "_patience", "task")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a request's handler runs in one
        self.task, self._before = task, task.cancelling()
        self._patience.begin(self)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """As `asyncio.timeout`: who was called off by somebody else too stays so."""
        late = self._patience.end(self) and self.task.uncancel() <= self._before
        if kind is TimeoutError or (late and kind is asyncio.CancelledError):
            raise StorageUnavailable from None


PATIENCE = web.AppKey("PATIENCE", Patience)
