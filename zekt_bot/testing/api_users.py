"""What an App asks for a person, with their token; and giving such tokens out and back.

Source: https://docs.github.com/rest/apps/installations and https://docs.github.com/rest/apps/oauth-applications
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from zekt_bot.testing import app_shapes, shapes
from zekt_bot.testing.answers import (
    ApiRefusal,
    answer,
    invalid,
    json_object,
    needed_object,
    not_found,
    page_of,
)
from zekt_bot.testing.people import TokenRefused, role_of
from zekt_bot.testing.tokens import bearer, check_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zekt_bot.testing.answers import Route
    from zekt_bot.testing.core import Core
    from zekt_bot.testing.model import App, Installation
    from zekt_bot.testing.people import UserToken

_DOCS = "apps/oauth-applications"
_NO_APP = (
    "You must authenticate with an access token authorized to a GitHub App in order to list "
    "installations"
)


class UserApi:
    """The routes of a person's token."""

    def __init__(self, core: Core) -> None:
        """Answer from this host's state."""
        self._core = core

    def routes(self) -> Iterator[Route]:
        """Method, path, handler: below the API's base."""
        yield "GET", "/user", self.user
        yield "GET", "/user/installations", self.installations
        yield "GET", "/user/installations/{installation}/repositories", self.repositories
        yield "GET", "/user/orgs", self.organizations
        yield "GET", "/user/repos", self.all_repositories
        yield "DELETE", "/applications/{client_id}/token", self.delete_token
        yield "DELETE", "/applications/{client_id}/grant", self.delete_grant

    def web_routes(self) -> Iterator[Route]:
        """Method, path, handler: below the base of the pages."""
        yield "POST", "/login/oauth/access_token", self.give

    def _token(self, request: web.Request) -> UserToken:
        """A person's token; an installation acts for nobody."""
        header = request.headers.get("Authorization")
        if self._core.token(bearer(header) or "") is not None:
            check_token(self._core.world, header)
            raise ApiRefusal(403, "Resource not accessible by integration")
        return self._core.people.check(header)

    def _token_of_an_app(self, request: web.Request) -> UserToken:
        token = self._token(request)
        if token.app.is_classic:
            raise ApiRefusal(403, _NO_APP, "apps/installations")
        return token

    async def user(self, request: web.Request) -> web.Response:
        """`GET /user`: what everybody sees; a classic OAuth App is told more."""
        token = self._token(request)
        told = shapes.public_user(token.person, self._core.urls)
        if token.app.is_classic:
            told["two_factor_authentication"] = token.person.id in self._core.people.second_factors
        return answer(200, told)

    def _installed(self, token: UserToken) -> list[Installation]:
        """Installations of the token's own App that this person has something to do with."""
        return [
            one
            for one in self._core.world.live_installations()
            if one.app is token.app
            and (
                one.account is token.person
                or token.person.id in (one.account.members or {})
                or any(role_of(token.person, each) for each in self._core.world.covered(one))
            )
        ]

    async def installations(self, request: web.Request) -> web.Response:
        """`GET /user/installations`."""
        rows, urls = self._installed(self._token_of_an_app(request)), self._core.urls
        page, headers = page_of(request, rows, f"{urls.api}/user/installations")
        told = [app_shapes.installation(one, urls) for one in page]
        return answer(200, {"total_count": len(rows), "installations": told}, headers)

    async def repositories(self, request: web.Request) -> web.Response:
        """`GET /user/installations/ID/repositories`: with what the person may do there."""
        token, urls = self._token_of_an_app(request), self._core.urls
        wanted = request.match_info["installation"]
        found = next((one for one in self._installed(token) if str(one.id) == wanted), None)
        if found is None:
            raise not_found("apps/installations")
        if found.suspended_at is not None:
            raise ApiRefusal(403, "This installation has been suspended", "apps/installations")
        covered = self._core.world.covered(found)
        rows = [(one, role) for one in covered if (role := role_of(token.person, one))]
        base = f"{urls.api}/user/installations/{found.id}/repositories"
        page, headers = page_of(request, rows, base)
        told = [
            {**shapes.repository(one, urls), "permissions": shapes.may(role)} for one, role in page
        ]
        return answer(200, {"total_count": len(rows), "repositories": told}, headers)

    async def organizations(self, request: web.Request) -> web.Response:
        """`GET /user/orgs`: those that the person is a member of."""
        person, urls = self._token(request).person, self._core.urls
        known = self._core.world.accounts.values()
        rows = [one for one in known if person.id in (one.members or {})]
        page, headers = page_of(request, rows, f"{urls.api}/user/orgs")
        return answer(200, [shapes.organization(one, urls) for one in page], headers)

    async def all_repositories(self, request: web.Request) -> web.Response:
        """`GET /user/repos`: wherever the person has a role; a classic OAuth App sees them all."""
        person, urls = self._token(request).person, self._core.urls
        known = self._core.world.repositories.values()
        rows = [(one, role) for one in known if (role := role_of(person, one))]
        page, headers = page_of(request, rows, f"{urls.api}/user/repos")
        told = [
            {**shapes.repository(one, urls), "permissions": shapes.may(role)} for one, role in page
        ]
        return answer(200, told, headers)

    async def give(self, request: web.Request) -> web.Response:
        """`POST /login/oauth/access_token`: a refusal has status 200 too."""
        told = dict(parse_qsl((await request.read()).decode(errors="replace")))
        if request.content_type == "application/json":
            told = {name: str(value) for name, value in (await json_object(request)).items()}
        apps = self._core.world.apps.values()
        app = next((one for one in apps if one.client_id == told.get("client_id")), None)
        if app is None:
            return answer(404, {"error": "Not Found"})
        try:
            return _told(request, self._core.people.grant(app, told))
        except TokenRefused as refusal:
            return _told(request, refusal.body)

    def _client(self, request: web.Request) -> App:
        """The App that shows its id and secret (Basic).

        Raises:
            ApiRefusal: 401, 404.
        """
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        try:
            shown = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            shown = ""
        if scheme.lower() != "basic" or ":" not in shown:
            raise ApiRefusal(401, "Requires authentication", _DOCS)
        wanted = request.match_info["client_id"]
        for app in self._core.world.apps.values():
            if wanted == app.client_id and shown == f"{app.client_id}:{app.client_secret}":
                return app
        raise not_found(_DOCS)

    async def _theirs(self, request: web.Request) -> UserToken:
        app, told = self._client(request), await needed_object(request, _DOCS)
        if "access_token" not in told:
            raise invalid('"access_token" wasn\'t supplied.', _DOCS)
        token = self._core.people.living(str(told.get("access_token", "")))
        if token is None or token.app is not app:
            raise not_found(_DOCS)
        return token

    async def delete_token(self, request: web.Request) -> web.Response:
        """`DELETE /applications/CLIENT_ID/token`: this token alone."""
        (await self._theirs(request)).revoked = True
        return answer(204)

    async def delete_grant(self, request: web.Request) -> web.Response:
        """`DELETE /applications/CLIENT_ID/grant`: all that the App has of this person."""
        token = await self._theirs(request)
        self._core.people.withdraw(token.app, token.person)
        return answer(204)


def _told(request: web.Request, body: Mapping[str, str | int]) -> web.Response:
    """As a form, unless JSON was asked for.

    Source: https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
    """
    if "application/json" in request.headers.get("Accept", ""):
        return answer(200, body)
    form = "application/x-www-form-urlencoded"
    return web.Response(text=urlencode(body), content_type=form, charset="utf-8")
