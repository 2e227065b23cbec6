"""People who sign in, the Apps they authorized, and the tokens that act for them.

Source: https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from zekt_bot.testing.answers import ApiRefusal
from zekt_bot.testing.model import grants
from zekt_bot.testing.shapes import may
from zekt_bot.testing.tokens import bearer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from aiohttp import web

    from zekt_bot.clock import Clock
    from zekt_bot.testing.model import Account, App, Repository, Role
    from zekt_bot.testing.world import World

COOKIE = "user_session"
CODE_LIFE = timedelta(minutes=10)
TOKEN_LIFE = timedelta(hours=8)
REFRESH_LIFE = timedelta(seconds=15_897_600)
_TROUBLES = "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-{page}/#{anchor}"
Json = dict[str, "str | int"]


@dataclass(eq=False)
class Code:
    """What the browser brings back to the App: good once, for ten minutes."""

    app: App
    person: Account
    redirect_uri: str
    challenge: str | None
    scope: str
    expires_at: datetime


@dataclass(eq=False)
class UserToken:
    """A user access token (`ghu_…`) and the one that gives the next (`ghr_…`); a classic OAuth
    App's (`gho_…`) lives until it is revoked, and no other follows."""

    value: str = field(repr=False)
    app: App
    person: Account
    expires_at: datetime | None = None
    refresh: str | None = field(default=None, repr=False)
    refresh_expires_at: datetime | None = None
    revoked: bool = False


@dataclass(frozen=True)
class PersonsView:
    """What may be seen with a person's token: what its App is installed on, as far as they may
    see it themselves; with a classic OAuth App's, all that they may see."""

    token: UserToken
    world: World

    def reaches(self, repository: Repository) -> bool:
        """Whether the repository is among it."""
        app = self.token.app
        if role_of(self.token.person, repository) is None:
            return False
        there = self.world.installation_of(app, repository.owner)
        return app.is_classic or (there is not None and there.active and there.covers(repository))

    def grants(self, permission: str, level: str) -> bool:
        """Whether its App asks for this permission; a classic one is not asked."""
        app = self.token.app
        return app.is_classic or grants(app.permissions, {permission: level})

    def permissions(self, repository: Repository) -> dict[str, bool]:
        """What the person may do there; to look at what is public, everybody may."""
        held = role_of(self.token.person, repository)
        return may(held or (None if repository.private else "read"))


class TokenRefused(Exception):
    """No token; GitHub says so with status 200."""

    def __init__(self, error: str, description: str) -> None:
        """`error` is the word that programs read."""
        super().__init__(description)
        page = "oauth-app-access-token-request-errors"
        uri = _TROUBLES.format(page=page, anchor=error.replace("_", "-"))
        self.body: Json = {"error": error, "error_description": description, "error_uri": uri}


class People:
    """Who is signed in where, and for whom which App may act."""

    def __init__(self, clock: Clock) -> None:
        """Nobody is."""
        self._clock = clock
        self.sessions: dict[str, Account] = {}
        self.half_way: dict[str, Account] = {}
        """Signed in with the password, while the second factor is asked for."""
        self.second_factors: dict[int, str] = {}
        """The one-time code of those who have two-factor sign-in, by account id."""
        self.identity_provider: str | None = None
        """Where who is not signed in is sent at once, as with SAML."""
        self.authorized: set[tuple[int, int]] = set()
        """(App, person) by id."""
        self.codes: dict[str, Code] = {}
        self.tokens: dict[str, UserToken] = {}

    def authorize(
        self, app: App, person: Account, redirect_uri: str, asked: Mapping[str, str]
    ) -> str:
        """The code that the browser is sent back with; `asked` is what the App asked for."""
        self.authorized.add((app.id, person.id))
        code = secrets.token_hex(10)
        until = self._clock.now() + CODE_LIFE
        scope = ",".join(asked.get("scope", "").split()) if app.is_classic else ""
        told = asked.get("code_challenge")
        self.codes[code] = Code(app, person, redirect_uri, told, scope, until)
        return code

    def grant(self, app: App, told: Mapping[str, str]) -> Json:
        """A new pair of tokens, for a code or for a refresh token.

        Raises:
            TokenRefused.
        """
        if told.get("client_secret") != app.client_secret:
            raise TokenRefused(
                "incorrect_client_credentials",
                "The client_id and/or client_secret passed are incorrect.",
            )
        if told.get("grant_type") == "refresh_token":
            return self._made(app, self._refreshed(app, told))
        code = self._exchanged(app, told)
        return self._classic(code) if app.is_classic else self._made(app, code.person)

    def _exchanged(self, app: App, told: Mapping[str, str]) -> Code:
        code = self.codes.pop(told.get("code", ""), None)
        if code is None or code.app is not app or code.expires_at <= self._clock.now():
            raise _bad_code()
        if told.get("redirect_uri", code.redirect_uri) != code.redirect_uri:
            raise TokenRefused(
                "redirect_uri_mismatch",
                "The redirect_uri MUST match the registered callback URL for this application.",
            )
        if code.challenge is not None and code.challenge != challenge(
            told.get("code_verifier", "")
        ):
            raise _bad_code()
        return code

    def _refreshed(self, app: App, told: Mapping[str, str]) -> Account:
        now, value = self._clock.now(), told.get("refresh_token", "")
        former = next((one for one in self.tokens.values() if one.refresh == value), None)
        if (
            former is None
            or former.app is not app
            or former.revoked
            or _is_over(former.refresh_expires_at, now)
        ):
            raise TokenRefused(
                "bad_refresh_token", "The refresh token passed is incorrect or expired."
            )
        former.revoked = True
        return former.person

    def _made(self, app: App, person: Account) -> Json:
        now = self._clock.now()
        value, refresh = "ghu_" + secrets.token_hex(18), "ghr_" + secrets.token_hex(38)
        self.tokens[value] = UserToken(
            value, app, person, now + TOKEN_LIFE, refresh, now + REFRESH_LIFE
        )
        return {
            "access_token": value,
            "expires_in": int(TOKEN_LIFE.total_seconds()),
            "refresh_token": refresh,
            "refresh_token_expires_in": int(REFRESH_LIFE.total_seconds()),
            "token_type": "bearer",
            "scope": "",
        }

    def _classic(self, code: Code) -> Json:
        value = "gho_" + secrets.token_hex(18)
        self.tokens[value] = UserToken(value, code.app, code.person)
        return {"access_token": value, "token_type": "bearer", "scope": code.scope}

    def signed_in(self, request: web.Request) -> Account | None:
        """Whose browser it is."""
        return self.sessions.get(request.cookies.get(COOKIE, ""))

    def living(self, value: str) -> UserToken | None:
        """The token with this value, while it lives."""
        token = self.tokens.get(value)
        if token is None or token.revoked or _is_over(token.expires_at, self._clock.now()):
            return None
        return token

    def check(self, header: str | None) -> UserToken:
        """The living token of an Authorization header.

        Raises:
            ApiRefusal: 401.
        """
        token = self.living(bearer(header) or "")
        if token is None:
            raise ApiRefusal(401, "Bad credentials")
        return token

    def withdraw(self, app: App, person: Account) -> bool:
        """End all that the App may do for this person; whether it could do something."""
        for token in self.tokens.values():
            if token.app is app and token.person is person:
                token.revoked = True
        known = (app.id, person.id) in self.authorized
        self.authorized.discard((app.id, person.id))
        return known


def _is_over(end: datetime | None, now: datetime) -> bool:
    return end is not None and end <= now


def _bad_code() -> TokenRefused:
    return TokenRefused("bad_verification_code", "The code passed is incorrect or expired.")


def challenge(verifier: str) -> str:
    """The S256 challenge of RFC 7636."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def role_of(person: Account, repository: Repository) -> Role | None:
    """What this person is to a repository, by themselves or as an organization's owner."""
    owner = repository.owner
    if person is owner or (owner.members or {}).get(person.id) == "owner":
        return "admin"
    return repository.roles.get(person.id)
