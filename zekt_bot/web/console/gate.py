"""What stands before every page: which browser asks, by which scheme, and its form."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlencode

from aiohttp import web

from zekt_bot.errors import SessionEnded
from zekt_bot.operations import sessions, user_tokens
from zekt_bot.web import client
from zekt_bot.web.console import cookies, forms
from zekt_bot.web.console.frame import BROWSER, CSRF, VIEWER, Viewer
from zekt_bot.web.console.problems import Problem
from zekt_bot.web.deps import BROKER, DEPS

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
# How old GitHub's word on a session may be: to look at something, and to change something.
_TO_LOOK, _TO_CHANGE = timedelta(minutes=5), timedelta(minutes=1)
_MACHINES = ("/webhooks/", "/api/", "/static/", "/healthz", "/readyz", "/metrics", "/status")


def asks_for_page(request: web.Request) -> bool:
    """Whether a person looks at what is answered; machines get JSON."""
    if request.match_info.route in request.app[PAGES]:
        return True
    if request.path.startswith(_MACHINES):
        return False
    return "text/html" in request.headers.get("Accept", "")


async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through to its page if it may go there."""
    if not asks_for_page(request):
        return await handler(request)
    if target := _by_https(request):
        raise web.HTTPPermanentRedirect(target)
    kept, page = request.app[COOKIES], request.app[PAGES].get(request.match_info.route)
    browser, session = kept.read(request, "browser"), kept.read(request, "session")
    request[BROWSER] = browser or cookies.new_secret()
    request[CSRF] = forms.token(request[BROWSER], session or "")
    if session is not None:
        await _recognize(request, session)
    if page is not None:
        _check_needs(request, page, had_session=session is not None)
        if request.method not in _SAFE:
            await forms.take(request, request[CSRF] if browser else None)
    return await handler(request)


async def _recognize(request: web.Request, secret: str) -> None:
    """Whose browser it is, if GitHub takes their token still."""
    broker = request.app[BROKER]
    found = await sessions.find(broker, secret)
    if found is None:
        return
    try:
        within = _TO_LOOK if request.method in _SAFE else _TO_CHANGE
        await user_tokens.confirm(broker, found, within)
    except SessionEnded:
        return
    request[VIEWER] = Viewer(found.person, sessions.is_operator(broker, found), found)


def _check_needs(request: web.Request, page: Page, *, had_session: bool) -> None:
    """Send those who are not signed in to the door, and let operators alone into their rooms."""
    if page.needs == "nobody":
        return
    viewer = request.get(VIEWER)
    if viewer is None:
        raise web.HTTPSeeOther(door(request, ended=had_session))
    if page.needs == "operator" and not viewer.operator:
        raise Problem(403, "Not yours to see", "Only an operator of this server sees this page.")


def door(request: web.Request, *, ended: bool) -> str:
    """The sign-in page that leads back to what was asked for, if that only showed something."""
    told = {"next": request.raw_path} if request.method in _SAFE else {}
    query = urlencode({**told, **({"ended": "1"} if ended else {})})
    return f"/login?{query}" if query else "/login"


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
    return settings.public_url + request.path_qs if by.scheme == "http" else None
