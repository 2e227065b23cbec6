"""A refusal is JSON, or a page where a person asked; nothing of a request is echoed or logged."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import structlog
from aiohttp import HttpVersion11, web

from zekt_bot.errors import SessionEnded
from zekt_bot.web.console import frame, gate, problems
from zekt_bot.web.deps import answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SAID = {
    404: "Nothing is at this address: webhooks go to /webhooks/github, and /api/openapi.json says"
    " what is under /api.",
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


async def told(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into an answer: JSON, or a page for a person."""
    try:
        return await handler(request)
    except ConnectionError:
        raise
    except Exception as error:
        if isinstance(error, web.HTTPRedirection):
            raise
        if gate.asks_for_page(request):
            if isinstance(error, SessionEnded):
                raise web.HTTPSeeOther(gate.door(request, ended=True)) from None
            return _page(request, error)
        return _json(error)


def _json(error: Exception) -> web.Response:
    if isinstance(error, web.HTTPException):
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        said = _SAID.get(error.status, error.reason)
        return answer(error.status, {"error": said}, **headers)
    reference = _recorded(error)
    return answer(500, {"error": f"That went wrong on our side; recorded as {reference}."})


def _page(request: web.Request, error: Exception) -> web.Response:
    here = request.path_qs if request.method in {"GET", "HEAD"} else ""
    problem = problems.of(error, here) or problems.unforeseen(_recorded(error))
    response = frame.page(request, "problem.html", status=problem.status, problem=problem)
    response.headers.update(problem.headers)
    return response


def _recorded(error: Exception) -> str:
    """Log where `error` arose; gives the number under which it stands in the log."""
    reference = secrets.token_hex(3)
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    _log.error(  # no message and no locals: they may hold what was sent
        "web.failed",
        reference=reference,
        error=type(error).__name__,
        at=f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}" if at else None,
    )
    return reference
