"""One client's connection: what aiohttp leaves open is closed here.

aiohttp bounds a request's head only by its idle time-out, leaves a handler waiting for ever when a
malformed chunk follows a good head, and answers unparsable requests with plain text that echoes
their bytes, which it logs too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from aiohttp.web_server import Server

from zekt_bot.web.deps import answer

if TYPE_CHECKING:
    import asyncio

    from zekt_bot.clock import Shutdown
    from zekt_bot.web.deps import Limits


class Connection(RequestHandler):
    """A connection whose head comes in time, or which is closed."""

    def __init__(self, manager: Any, *, limits: Limits, **options: Any) -> None:
        """`options` are aiohttp's own."""
        super().__init__(manager, **options)
        self._head_seconds = limits.head.total_seconds()
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Watch the time of a head; tell a reading handler of malformed chunks."""
        super().data_received(data)
        if not self._messages and self._current_request is None:
            if data and self._head_timer is None:
                self._watch_head()
            return
        if self._head_timer is not None:
            self._forget_head()
        if self._messages and self._current_request is not None:
            last, _ = self._messages[-1]
            if isinstance(last, _ErrInfo):
                self._current_request.content.set_exception(web.RequestPayloadError())

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timer."""
        self._forget_head()
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Let its request end within `timeout`, then cut it off.

        aiohttp would wait so long once more for a handler that reads no body, and for ever if
        `timeout` is 0.
        """
        alarm = self._loop.call_later(timeout or 0, self._cut_off)
        try:
            await super().shutdown(timeout)
        finally:
            alarm.cancel()

    def _cut_off(self) -> None:
        if self._task_handler is not None:
            self._task_handler.cancel()

    def _watch_head(self) -> None:
        self._head_timer = self._loop.call_later(self._head_seconds, self._head_is_late)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self._messages and self._current_request is None:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be parsed: as JSON, without a byte of it, and log nothing."""
        said = "The request is not HTTP as it should be." if status < 500 else "That went wrong."
        response = answer(status, {"error": said})
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Nothing: aiohttp's messages hold bytes of the request."""


class JsonServer(Server):
    """aiohttp's server, with our connections."""

    limits: Limits
    ending: Shutdown

    def __call__(self) -> RequestHandler:
        """A connection for a new client."""
        return Connection(self, limits=self.limits, loop=self._loop, **self._kwargs)

    async def shutdown(self, timeout: float | None = None) -> None:
        """Let requests end in the time that the process has left."""
        await super().shutdown(self.ending.left().total_seconds())


class Runner(web.AppRunner):
    """aiohttp's runner, with our server."""

    def __init__(self, app: web.Application, limits: Limits, ending: Shutdown) -> None:
        """Raw bodies: the signature is over the bytes received."""
        super().__init__(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=limits.idle.total_seconds(),
            lingering_time=limits.linger.total_seconds(),
        )
        self.limits, self.ending = limits, ending

    async def _make_server(self) -> Server:
        made = await super()._make_server()
        made.__class__ = JsonServer  # aiohttp has no setting for the class of a connection
        made.limits, made.ending = self.limits, self.ending  # type: ignore[attr-defined]
        return made
