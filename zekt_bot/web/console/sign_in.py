"""The door: `/login`, GitHub's way back, the first choice, and out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from zekt_bot.domain.sessions import device, local_path
from zekt_bot.errors import ConfigurationError, InvalidInput, SignInRefused
from zekt_bot.operations import sessions, sign_in, two_factor
from zekt_bot.web import client
from zekt_bot.web.console import forms
from zekt_bot.web.console.frame import BROWSER, VIEWER, page
from zekt_bot.web.console.gate import COOKIES
from zekt_bot.web.console.problems import Problem
from zekt_bot.web.deps import BROKER, DEPS
from zekt_bot.web.tries import Tries

if TYPE_CHECKING:
    from zekt_bot.web.console.frame import Viewer

TRIES = web.AppKey("TRIES", Tries)
MOST_TRIES = 20
_OPEN = (
    "This address is not https: browsers keep no session for it. Ask the operator to set "
    "ZEKT_PUBLIC_URL."
)


async def start(request: web.Request) -> web.Response:
    """`GET /`: to what one sees first; who has not said yet what that is, is asked."""
    viewer = request.get(VIEWER)
    if viewer is None:
        return _to("/login")
    return _to("/repositories" if viewer.session.shown_first else "/welcome")


async def show(request: web.Request) -> web.Response:
    """`GET /login`."""
    back = local_path(request.query.get("next", "/"))
    if request.get(VIEWER):
        return _to(back)
    return await _door(request, back, ended="ended" in request.query)


async def _door(
    request: web.Request, back: str, problem: str = "", *, ended: bool = False, status: int = 200
) -> web.Response:
    shown = problem or (_OPEN if request.app[COOKIES].unkept else "")
    classic = await sign_in.is_classic(request.app[BROKER])
    context = {"back": back, "problem": shown, "ended": ended, "classic": classic}
    return page(request, "login.html", status=status, **context)


async def begin(request: web.Request) -> web.Response:
    """`POST /login`: to GitHub, by a page that leads on.

    Browsers hold every redirect of a form to the page's `form-action`, and GitHub may send people
    on to an identity provider, which nobody here knows.
    """
    count_try(request)
    back = local_path(forms.text(request[forms.FORM], "next", 2000))
    try:
        url = await sign_in.begin(request.app[BROKER], request[BROWSER], back)
    except ConfigurationError as error:
        return await _door(request, back, str(error), status=503)
    response = page(request, "onward.html", url=url)
    response.headers["Refresh"] = f"0; url={url}"
    return response


def count_try(request: web.Request) -> None:
    """Let each address try so often only.

    Raises:
        Problem: 429.
    """
    deps = request.app[DEPS]
    address = client.of(request, deps.settings.trusted_proxies).address
    if not request.app[TRIES].allows(address):
        raise Problem(
            429,
            "Too many tries",
            "Wait a minute, then try again.",
            headers={"Retry-After": "60"},
        )


async def finish(request: web.Request) -> web.Response:
    """`GET /auth/github/callback`: signed in, or why not."""
    count_try(request)
    kept = request.app[COOKIES]
    back = sign_in.Return(
        browser=request[BROWSER],
        query=dict(request.query),
        device=device(request.headers.get("User-Agent", "")),
        former=kept.read(request, "session"),
    )
    try:
        signed_in = await sign_in.finish(request.app[BROKER], back)
    except SignInRefused as error:
        return await _door(request, error.data.get("back", "/"), str(error), status=403)
    response = _to(signed_in.back)
    kept.write(response, "session", signed_in.secret, signed_in.expires_in)
    return response


async def welcome(request: web.Request) -> web.Response:
    """`GET /welcome`: what one wants to see first."""
    return _welcome(request, local_path(request.query.get("next", "/")))


def _welcome(request: web.Request, back: str, problem: str = "") -> web.Response:
    chosen = request[VIEWER].session.shown_first
    context = {"back": back, "chosen": chosen, "problem": problem}
    return page(request, "welcome.html", status=400 if problem else 200, **context)


async def choose(request: web.Request) -> web.Response:
    """`POST /welcome` and the profile's choice."""
    form = request[forms.FORM]
    back = local_path(forms.text(form, "next", 2000))
    try:
        viewer = request[VIEWER]
        await sessions.choose_view(request.app[BROKER], viewer.person, forms.text(form, "view"))
    except InvalidInput as error:
        return _welcome(request, back, str(error))
    return _to(back)


async def profile(request: web.Request) -> web.Response:
    """`GET /me`."""
    viewer = request[VIEWER]
    mine = await sessions.of_person(request.app[BROKER], viewer.person)
    second = await two_factor.of(request.app[BROKER], viewer.session)
    return page(request, "me.html", sessions=mine, two_factor=second)


async def end(request: web.Request) -> web.Response:
    """`POST /me/sessions/end`: one of one's own."""
    viewer, hash_ = request[VIEWER], forms.text(request[forms.FORM], "session")
    if hash_ == viewer.session.hash:
        return await leave(request)
    await sessions.end(request.app[BROKER], viewer.person, hash_)
    return _to("/me")


async def leave(request: web.Request) -> web.Response:
    """`POST /logout`."""
    viewer: Viewer | None = request.get(VIEWER)
    if viewer is not None:
        await sessions.end(request.app[BROKER], viewer.person, viewer.session.hash)
    response = _to("/login")
    request.app[COOKIES].forget(response, "session")
    return response


def _to(where: str) -> web.Response:
    return web.Response(status=303, headers={"Location": where})
