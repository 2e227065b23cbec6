"""Every refusal is JSON, and nothing of a request is echoed or logged."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import structlog
from aiohttp import HttpVersion11, web

from zekt_bot.web.deps import answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SAID = {
    404: "Nothing is at this address: webhooks go to /webhooks/github.",
    405: "This address does not take that method.",
    413: "The body is too large.",
}
_log = structlog.get_logger()


async def expected(request: web.Request) -> web.StreamResponse | None:
    """Ask for the body that a client announced, or refuse what else it expects."""
    if request.headers["Expect"].lower() != "100-continue":
        return answer(417, {"error": "Expect can only be 100-continue: leave it out."})
    if request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    return None


@web.middleware
async def as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into a JSON answer."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        said = _SAID.get(error.status, error.reason)
        return answer(error.status, {"error": said}, **headers)
    except ConnectionError:
        raise
    except Exception as error:
        reference = secrets.token_hex(3)
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        _log.error(  # no message and no locals: they may hold what was sent
            "web.failed",
            reference=reference,
            error=type(error).__name__,
            at=f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else None,
        )
        return answer(500, {"error": f"That went wrong on our side; recorded as {reference}."})
