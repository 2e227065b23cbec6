"""Signing people in with GitHub, and what GitHub says to their tokens.

Source: https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from zekt_bot.errors import ConfigurationError, GitHubAnswered, TokenRefused
from zekt_bot.github.http import HEADERS, USER_AGENT, Answer, exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    import aiohttp

    from zekt_bot.clock import Clock
    from zekt_bot.config import AppCredentials, Credentials, Settings

CALLBACK = "/auth/github/callback"
# What a classic OAuth App must ask for to see what people may do to private repositories.
_CLASSIC_SCOPES = "read:user repo read:org"
_PAGE = 100
_MOST_PAGES = 20


@dataclass(frozen=True, slots=True)
class UserToken:
    """What GitHub gave to act for a person; without `expires_at` it lives until it is revoked."""

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    client_id: str = ""


class OAuth:
    """GitHub's side of signing in, with the sign-in App's present credentials."""

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        clock: Clock,
        session: aiohttp.ClientSession,
    ) -> None:
        """Nothing is asked of GitHub; `session` stays the caller's to close."""
        self._web = settings.github_url.rstrip("/")
        self._api = settings.github_api_url.rstrip("/")
        self._callback = settings.public_url + CALLBACK
        self._credentials = credentials
        self._clock = clock
        self._session = session

    async def _client(self) -> AppCredentials:
        found = await self._credentials.get("oauth")
        if not found.client_id or not found.client_secret:
            raise ConfigurationError(
                "Nobody can sign in yet: the sign-in App's client id and client secret are missing."
            )
        return found

    async def is_classic(self) -> bool:
        """Whether people sign in with a classic OAuth App.

        Raises:
            ConfigurationError: with nothing yet.
            StorageUnavailable.
        """
        return (await self._client()).is_classic

    async def authorize_url(self, state: str, verifier: str) -> str:
        """Where the browser is sent to sign in.

        Raises:
            ConfigurationError, StorageUnavailable.
        """
        client = await self._client()
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "client_id": client.client_id or "",
            "redirect_uri": self._callback,
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        if client.is_classic:
            asked["scope"] = _CLASSIC_SCOPES
        return f"{self._web}/login/oauth/authorize?{urlencode(asked)}"

    async def exchange(self, code: str, verifier: str) -> UserToken:
        """The token for a code.

        Raises:
            TokenRefused: GitHub says why.
            ConfigurationError, GitHubError, StorageUnavailable.
        """
        told = {"code": code, "code_verifier": verifier, "redirect_uri": self._callback}
        return await self._token(told)

    async def refresh(self, token: UserToken) -> UserToken:
        """The next token; `token` is dead from now on.

        Raises:
            TokenRefused: it was used, has expired or was revoked, or is another App's.
            ConfigurationError, GitHubError, StorageUnavailable.

        Source: https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
        """
        client = await self._client()
        if token.refresh is None or token.client_id != client.client_id:
            raise TokenRefused("bad_refresh_token")
        return await self._token({"grant_type": "refresh_token", "refresh_token": token.refresh})

    async def _token(self, told: Mapping[str, str]) -> UserToken:
        client = await self._client()
        shown = {"client_id": client.client_id or "", "client_secret": client.client_secret or ""}
        answer = await exchange(
            self._session,
            "POST",
            f"{self._web}/login/oauth/access_token",
            {
                "accept": "application/json",
                "content-type": "application/x-www-form-urlencoded",
                "user-agent": USER_AGENT,
            },
            urlencode({**shown, **told}).encode(),
        )
        if answer.status != 200:
            raise answer.error()
        return self._read(answer, client.client_id or "")

    def _read(self, answer: Answer, client_id: str) -> UserToken:
        """GitHub refuses with status 200 too."""
        body = answer.mapping()
        if isinstance(error := body.get("error"), str):
            raise TokenRefused(error)
        access, refresh, seconds = (
            body.get(name) for name in ("access_token", "refresh_token", "expires_in")
        )
        if not isinstance(access, str) or not access:
            raise GitHubAnswered(answer.status, "no token")
        return UserToken(
            access,
            refresh if isinstance(refresh, str) else None,
            self._clock.now() + timedelta(seconds=seconds) if isinstance(seconds, int) else None,
            client_id,
        )

    async def revoke(self, token: UserToken) -> None:
        """Let a token die; one that is dead already is no error.

        Raises:
            ConfigurationError, GitHubError, StorageUnavailable.

        Source: https://docs.github.com/rest/apps/oauth-applications#delete-an-app-token
        """
        client = await self._client()
        if token.client_id != client.client_id:
            return
        shown = f"{client.client_id}:{client.client_secret}".encode()
        answer = await exchange(
            self._session,
            "DELETE",
            f"{self._api}/applications/{quote(token.client_id, safe='')}/token",
            {**HEADERS, "authorization": f"Basic {base64.b64encode(shown).decode()}"},
            json.dumps({"access_token": token.access}).encode(),
        )
        if answer.status not in {204, 404, 422}:
            raise answer.error()

    async def ask(self, token: str, path: str) -> Answer:
        """GET as the person; any status is an answer.

        Raises:
            GitHubUnreachable.
        """
        headers = {**HEADERS, "authorization": f"Bearer {token}"}
        return await exchange(self._session, "GET", self._api + path, headers, b"")

    async def rows(
        self, token: str, path: str, name: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Every row, 2,000 at most, of the list at `path`; `name`: it stands in an object.

        Raises:
            GitHubAnswered: any status but 200. GitHubUnreachable.
        """
        for page in range(1, _MOST_PAGES + 1):
            answer = await self.ask(token, f"{path}?per_page={_PAGE}&page={page}")
            if answer.status != 200:
                raise answer.error()
            found = answer.mapping().get(name) if name else answer.json()
            rows = found if isinstance(found, list) else []
            for row in rows:
                if isinstance(row, dict):
                    yield row
            if len(rows) < _PAGE:
                return
