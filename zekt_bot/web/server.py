"""The application, its routes, and how it is run."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import structlog
from aiohttp import web

from zekt_bot.errors import ConfigurationError
from zekt_bot.web import health, metrics, status, webhooks
from zekt_bot.web.api import edge, openapi
from zekt_bot.web.api.routes import CLOSED, OPERATIONS
from zekt_bot.web.connection import Runner
from zekt_bot.web.console import cookies, frame, gate, headers, repositories, sign_in, static
from zekt_bot.web.console.routes import PAGES
from zekt_bot.web.deps import (
    BROKER,
    DEPS,
    IGNORED,
    IN_FLIGHT,
    READINESS,
    STATUS,
    Ignored,
    InFlight,
    Kept,
    Readiness,
    WebDeps,
)
from zekt_bot.web.errors import expected, told
from zekt_bot.web.tries import Tries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from zekt_bot.clock import Shutdown

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

__all__ = ["ROUTES", "WebDeps", "build", "running"]

Role = Literal["anonymous", "github", "operator"]
_log = structlog.get_logger()


class Route(NamedTuple):
    """An address and who is let in there."""

    method: str
    path: str
    handler: Handler
    roles: frozenset[Role]
    expected: Callable[[web.Request], Awaitable[web.StreamResponse | None]] = expected


_ANYONE: frozenset[Role] = frozenset({"anonymous", "github", "operator"})
ROUTES = (
    Route("GET", "/healthz", health.healthz, _ANYONE),
    Route("GET", "/readyz", health.readyz, _ANYONE),
    Route("GET", "/metrics", metrics.metrics, frozenset({"operator"})),
    Route("GET", "/status", status.status, frozenset({"operator"})),
    Route("GET", "/api/openapi.json", openapi.serve, _ANYONE),
    Route("POST", "/webhooks/github", webhooks.github, frozenset({"github"}), webhooks.expected),
    Route(
        "POST", "/webhooks/github/oauth", webhooks.oauth, frozenset({"github"}), webhooks.expected
    ),
)


def build(deps: WebDeps) -> web.Application:
    """The application with every route."""
    app = web.Application(client_max_size=0)
    app[DEPS] = deps
    if deps.broker is not None:
        app[BROKER] = deps.broker
    app[IN_FLIGHT] = InFlight(deps.settings.inflight_bytes)
    app[edge.ROOM] = edge.room(deps.settings.inflight_bytes, app[IN_FLIGHT])
    app[IGNORED] = Ignored(deps.clock)
    app[STATUS] = Kept(deps.status, deps.clock)
    app[READINESS] = Readiness(deps.ready, deps.clock)
    app[gate.COOKIES] = cookies.Cookies(deps.settings.public_url)
    app[gate.PAGES] = {}
    app[openapi.DOCUMENT] = openapi.encoded(OPERATIONS, CLOSED, deps.settings.public_url)
    app[edge.RATES] = edge.Rates(deps.clock, deps.settings.api_per_minute)
    app[sign_in.TRIES] = Tries(deps.clock, sign_in.MOST_TRIES)
    app[repositories.QUESTIONS] = Tries(deps.clock, repositories.MOST_QUESTIONS)
    app.cleanup_ctx.append(app[IGNORED].telling)
    app.on_response_prepare.append(headers.adding(deps.settings))
    frame.install(app)
    for route in ROUTES:
        for method in _methods(route.method):
            answering = _for_machines(route.handler)
            app.router.add_route(method, route.path, answering, expect_handler=route.expected)
    for page in PAGES:
        for method in _methods(page.method):
            showing = _for_people(page.handler)
            added = app.router.add_route(method, page.path, showing, expect_handler=expected)
            app[gate.PAGES][added] = page
    _add_api(app)
    serving = _for_machines(static.serve)
    app.router.add_get(f"{static.FOLDER}/{{name}}", serving, expect_handler=expected)
    # Ours too, or aiohttp would answer an Expect header here with its own bytes.
    app.router.add_route("*", "/{path:.*}", _for_people(_elsewhere), expect_handler=expected)
    return app


def _for_people(handler: Handler) -> Handler:
    """Through the gate; what is raised there is a page too. No middleware: a webhook needs none."""
    gated = partial(gate.gate, handler=handler)
    return partial(gate.keep, handler=partial(told, handler=gated))


def _for_machines(handler: Handler) -> Handler:
    """What is raised is JSON."""
    return partial(told, handler=handler)


def _add_api(app: web.Application) -> None:
    """A client whose address of this server ends in a slash asks for `//api/…`."""
    answered = [
        *((each.method, each.path, edge.handler(each)) for each in OPERATIONS),
        *((each.method, each.path, each.tell) for each in CLOSED),
    ]
    for method, path, handler in answered:
        for spelled in (path, f"/{path}"):
            answering = _for_machines(handler)
            app.router.add_route(method, spelled, answering, expect_handler=edge.expected)


def _methods(method: str) -> tuple[str, ...]:
    return ("GET", "HEAD") if method == "GET" else (method,)


async def _elsewhere(request: web.Request) -> web.StreamResponse:
    """405 where another method would be taken, else 404."""
    taken: set[str] = set()
    for resource in request.app.router.resources():
        _, allowed = await resource.resolve(request)
        taken |= allowed - {"*", "HEAD"}
    if taken:
        raise web.HTTPMethodNotAllowed(request.method, sorted(taken))
    raise web.HTTPNotFound


@asynccontextmanager
async def running(deps: WebDeps, shutdown: Shutdown) -> AsyncIterator[int]:
    """Answer on the settings' host and port (0: any free one); gives the bound port.

    On leaving, requests in flight have what is left of `shutdown`.

    Raises:
        ConfigurationError: the port is taken or not allowed.
    """
    runner = Runner(build(deps), deps.limits, shutdown)
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, deps.settings.host, deps.settings.port, backlog=1024, reuse_address=True
        )
        try:
            await site.start()
        except OSError as error:
            raise ConfigurationError(
                f"{deps.settings.host}:{deps.settings.port} cannot be listened on "
                f"({error.strerror}): set PORT or ZEKT_HOST to something else."
            ) from None
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
