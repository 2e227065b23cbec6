"""What stands before every page: which browser asks, by which scheme, and its form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from aiohttp import web

from zekt_bot.web import client
from zekt_bot.web.console import cookies, forms
from zekt_bot.web.console.frame import BROWSER
from zekt_bot.web.deps import DEPS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Needs = Literal["nobody", "person", "operator"]


class Page(NamedTuple):
    """A page or what one of its forms does, and who has to be there for it."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    needs: Needs = "person"


PAGES = web.AppKey("PAGES", dict[web.AbstractRoute, Page])
COOKIES = web.AppKey("COOKIES", cookies.Cookies)
_SAFE = {"GET", "HEAD"}
_MACHINES = ("/webhooks/", "/api/", "/static/", "/healthz", "/readyz", "/metrics", "/status")


def asks_for_page(request: web.Request) -> bool:
    """Whether a person looks at what is answered; machines get JSON."""
    if request.match_info.route in request.app[PAGES]:
        return True
    if request.path.startswith(_MACHINES):
        return False
    return "text/html" in request.headers.get("Accept", "")


@web.middleware
async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through to its page if it may go there."""
    if not asks_for_page(request):
        return await handler(request)
    if target := _by_https(request):
        raise web.HTTPPermanentRedirect(target)
    kept = request.app[COOKIES]
    browser = kept.read(request, "browser")
    request[BROWSER] = browser or cookies.new_secret()
    if request.method not in _SAFE and request.match_info.route in request.app[PAGES]:
        await forms.take(request, browser)
    return await handler(request)


@web.middleware
async def keep(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a browser that is new here keep what its forms will be known by; errors are pages too."""
    response = await handler(request)
    browser, kept = request.get(BROWSER), request.app[COOKIES]
    if browser is not None and browser != kept.read(request, "browser"):
        kept.write(response, "browser", browser)
    return response


def _by_https(request: web.Request) -> str | None:
    """Where to go instead, if a proxy says that the page was asked for in the open."""
    settings = request.app[DEPS].settings
    if not settings.trusted_proxies or not settings.public_url.startswith("https://"):
        return None
    if request.method not in _SAFE or "X-Forwarded-Proto" not in request.headers:
        return None
    by = client.of(request, settings.trusted_proxies)
    return settings.public_url + request.raw_path if by.scheme == "http" else None
