"""Signing in at GitHub, and letting an App act for oneself.

Source: https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
"""

from __future__ import annotations

import secrets
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from zekt_bot.testing.pages import PageRefusal, alert, back_to, fields_of, form, page
from zekt_bot.testing.people import COOKIE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp import web

    from zekt_bot.testing.answers import Route
    from zekt_bot.testing.core import Core
    from zekt_bot.testing.model import Account, App

_HALF_WAY = "user_session_half_way"
_AUTHORIZE = "/login/oauth/authorize"
_DENIED = "The user has denied your application access."
_ASKED = ("client_id", "redirect_uri", "state", "scope", "code_challenge", "code_challenge_method")


def login_page(return_to: str, problem: str = "") -> web.Response:
    """What whoever is not signed in is shown instead; it leads on to the path `return_to`."""
    fields = (
        _hidden("return_to", return_to)
        + '<label>Username <input name="login" autocomplete="username"></label> '
        + '<label>Password <input name="password" type="password"></label>'
    )
    return page("Sign in to GitHub", alert(problem) + form("/session", fields, "Sign in"))


class SignInPages:
    """The pages of a person's session and of what they authorized."""

    def __init__(self, core: Core) -> None:
        """Sign in to this host."""
        self._core = core
        self._people = core.people

    def pages(self) -> Iterator[Route]:
        """Method, path, handler."""
        yield "GET", "/login", self.login
        yield "POST", "/session", self.sign_in
        yield "POST", "/sessions/two-factor", self.second_factor
        yield "GET", _AUTHORIZE, self.ask
        yield "POST", _AUTHORIZE, self.decide
        yield "GET", "/settings/apps/authorizations", self.authorizations
        yield "POST", "/settings/apps/authorizations", self.revoke

    async def login(self, request: web.Request) -> web.Response:
        """`GET /login`."""
        return login_page(request.query.get("return_to", "/login"))

    async def sign_in(self, request: web.Request) -> web.Response:
        """A name is enough here; who has a second factor is asked for it too."""
        told = await fields_of(request)
        person = self._core.world.account(told.get("login", ""))
        return_to = told.get("return_to", "/login")
        if person is None or person.kind != "User":
            return login_page(return_to, "Incorrect username or password.")
        if person.id not in self._people.second_factors:
            return self._signed_in(person, return_to)
        key = secrets.token_hex(16)
        self._people.half_way[key] = person
        response = self._otp(return_to)
        response.set_cookie(_HALF_WAY, key, httponly=True, samesite="Lax")
        return response

    def _otp(self, return_to: str, problem: str = "") -> web.Response:
        fields = (
            _hidden("return_to", return_to)
            + '<label>Authentication code <input name="otp" inputmode="numeric"></label>'
        )
        body = alert(problem) + form("/sessions/two-factor", fields, "Verify")
        return page("Two-factor authentication", body)

    async def second_factor(self, request: web.Request) -> web.Response:
        """The code of the person's device."""
        told = await fields_of(request)
        key = request.cookies.get(_HALF_WAY, "")
        person = self._people.half_way.get(key)
        return_to = told.get("return_to", "/login")
        if person is None:
            return login_page(return_to)
        if told.get("otp") != self._people.second_factors.get(person.id):
            return self._otp(return_to, "Two-factor authentication failed.")
        del self._people.half_way[key]
        return self._signed_in(person, return_to)

    def _signed_in(self, person: Account, return_to: str) -> web.Response:
        key = secrets.token_hex(16)
        self._people.sessions[key] = person
        response = back_to(return_to if return_to.startswith("/") else "/login")
        response.set_cookie(COOKIE, key, httponly=True, samesite="Lax")
        return response

    def _app(self, client_id: str) -> App:
        apps = self._core.world.apps.values()
        found = next((one for one in apps if one.client_id == client_id), None)
        if found is None:
            raise PageRefusal(404, "This is not the web page you are looking for.")
        return found

    async def ask(self, request: web.Request) -> web.Response:
        """`GET /login/oauth/authorize`: at once if it was authorized before."""
        asked = {name: request.query[name] for name in _ASKED if name in request.query}
        app = self._app(asked.get("client_id", ""))
        if refusal := _mismatch(app, asked):
            return refusal
        person = self._people.signed_in(request)
        if person is None:
            if self._people.identity_provider is not None:
                return back_to(self._people.identity_provider)
            return login_page(f"{_AUTHORIZE}?{urlencode(asked)}")
        if (app.id, person.id) in self._people.authorized:
            return self._granted(app, person, asked)
        hidden = "".join(_hidden(name, value) for name, value in asked.items())
        buttons = (
            '<button name="authorize" value="1">Authorize</button> '
            '<button name="authorize" value="0">Cancel</button>'
        )
        title = f"Authorize {app.name}"
        text = (
            f"<p>{escape(app.name)} would like to verify who you are, {escape(person.login)}.</p>"
        )
        return page(
            title, f'{text}<form method="post" action="{_AUTHORIZE}">{hidden}{buttons}</form>'
        )

    async def decide(self, request: web.Request) -> web.Response:
        """Authorize the App or not."""
        asked = await fields_of(request)
        app, person = self._app(asked.get("client_id", "")), self._people.signed_in(request)
        if person is None:
            raise PageRefusal(404, "This is not the web page you are looking for.")
        if refusal := _mismatch(app, asked):
            return refusal
        if asked.get("authorize") == "1":
            return self._granted(app, person, asked)
        return _back(app, asked, error="access_denied", error_description=_DENIED)

    def _granted(self, app: App, person: Account, asked: Mapping[str, str]) -> web.Response:
        where = _redirect_uri(app, asked)
        code = self._people.authorize(app, person, where, asked)
        return _back(app, asked, code=code)

    async def authorizations(self, request: web.Request) -> web.Response:
        """`GET /settings/apps/authorizations`: the Apps that act for oneself."""
        person = self._people.signed_in(request)
        if person is None:
            return login_page("/settings/apps/authorizations")
        mine = [
            app
            for app in self._core.world.apps.values()
            if (app.id, person.id) in self._people.authorized
        ]
        forms = "".join(
            form(
                "/settings/apps/authorizations",
                _hidden("client_id", app.client_id),
                f"Revoke {app.name}",
            )
            for app in mine
        )
        return page("Authorized GitHub Apps", forms or "<p>None.</p>")

    async def revoke(self, request: web.Request) -> web.Response:
        """Withdraw an authorization; the App hears of it."""
        told, person = await fields_of(request), self._people.signed_in(request)
        if person is None:
            return login_page("/settings/apps/authorizations")
        await self._core.withdraw(self._app(told.get("client_id", "")), person)
        return back_to("/settings/apps/authorizations")


def _redirect_uri(app: App, asked: Mapping[str, str]) -> str:
    return asked.get("redirect_uri") or app.callback_urls[0]


def _mismatch(app: App, asked: Mapping[str, str]) -> web.Response | None:
    """Where the browser is sent if the App does not know the address that it names."""
    if not app.callback_urls:
        raise PageRefusal(404, "This application has no callback URL.")
    if _redirect_uri(app, asked) in app.callback_urls:
        return None
    return back_to(
        app.callback_urls[0],
        error="redirect_uri_mismatch",
        error_description="The redirect_uri MUST match the registered callback URL for this "
        "application.",
        state=asked.get("state"),
    )


def _back(app: App, asked: Mapping[str, str], **query: str) -> web.Response:
    return back_to(_redirect_uri(app, asked), **query, state=asked.get("state"))


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
