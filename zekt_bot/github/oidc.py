"""Tokens of workflow runs: their signature, by keys that are read from GitHub's issuer alone.

Nothing that a token names is ever followed: `jku`, `x5u`, `jwk` and `x5c` are not looked at.

Source: https://docs.github.com/actions/reference/security/oidc
"""

from __future__ import annotations

import asyncio
import base64
import math
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt
import orjson
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from jwt.algorithms import RSAAlgorithm

from zekt_bot.domain.run_tokens import SHARED_AUDIENCE, Expected, check_claims
from zekt_bot.environment import github_kind
from zekt_bot.errors import GitHubAnswered, GitHubError, KeysUnavailable, RunTokenRefused
from zekt_bot.github.http import USER_AGENT, exchange

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from zekt_bot.clock import Clock
    from zekt_bot.config import Settings
    from zekt_bot.domain.run_tokens import VerifiedRun

_ALGORITHM = "RS256"
_PADDING, _HASH = PKCS1v15(), SHA256()
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_UNREAD = frozenset({"crit", "b64"})  # which would change how the rest is read
_SHORTEST_KEY = 2048
_MOST_CHARACTERS = 16_384
_FORGED = "The token is not signed by GitHub: it is forged, or another GitHub's."
_HEADERS = {"accept": "application/json", "user-agent": USER_AGENT}
_log = structlog.get_logger()


def issuer_of(settings: Settings) -> str:
    """Whose tokens are taken: the setting, or what GitHub's address says.

    Source: https://docs.github.com/enterprise-server@latest/actions/reference/security/oidc
    """
    if settings.oidc_issuer:
        return settings.oidc_issuer
    match github_kind(settings.github_url):
        case "com":
            return "https://token.actions.githubusercontent.com"
        case "ghe":
            return f"https://token.actions.{urlsplit(settings.github_url).hostname}"
        case "server":
            return f"{settings.github_url.rstrip('/')}/_services/token"


class RunTokens:
    """Verifies the tokens with which workflow runs say who they are."""

    def __init__(self, settings: Settings, clock: Clock, session: aiohttp.ClientSession) -> None:
        """Nothing is asked of GitHub; `session` stays the caller's to close."""
        shared = {SHARED_AUDIENCE} if settings.oidc_shared_audience else set()
        issuer = issuer_of(settings)
        self._expected = Expected(issuer, frozenset({settings.public_url, *shared}))
        self._keys = IssuerKeys(issuer, clock, session)
        self._clock = clock

    async def check(self) -> str:
        """Read the issuer's keys anew, and say so.

        Raises:
            GitHubError: they cannot be read.
        """
        count = await self._keys.count()
        keys = "1 key that verifies" if count == 1 else f"{count} keys that verify"
        return f"{self._expected.issuer} has {keys} tokens."

    async def verify(self, token: str) -> VerifiedRun:
        """The run whose token this is. The same token may come again: a run has one for all calls.

        Raises:
            RunTokenRefused: it proves nothing, and why.
            KeysUnavailable: its key is unknown, and the issuer cannot be asked for it now.
        """
        key = await self._keys.find(_key_id(token))
        try:
            claims = orjson.loads(_verified(token, key))
        except (InvalidSignature, ValueError):
            raise RunTokenRefused(_FORGED) from None
        if not isinstance(claims, dict):
            raise RunTokenRefused(_FORGED)
        return check_claims(claims, self._expected, self._clock.now())


def _key_id(token: str) -> str:
    """Which of the issuer's keys the token says it is signed with.

    Of the token only this is read before its signature holds.
    """
    header = _header(token)
    if header.get("alg") != _ALGORITHM:
        raise RunTokenRefused(f"The token is not signed with {_ALGORITHM}, as GitHub's are.")
    kid = header.get("kid")
    if not header.keys().isdisjoint(_UNREAD) or not isinstance(kid, str):
        raise RunTokenRefused(_FORGED)
    return kid


def _header(token: str) -> dict[str, Any]:
    """Of what has three parts, as every token that can be verified has."""
    try:
        if len(token) > _MOST_CHARACTERS or not _COMPACT.fullmatch(token):
            raise ValueError
        header = orjson.loads(_decoded(token.partition(".")[0]))
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise RunTokenRefused(
            "The Authorization header has no JSON Web Token: send the `value` of GitHub's answer at"
            " ACTIONS_ID_TOKEN_REQUEST_URL."
        )
    return header


def _verified(token: str, key: RSAPublicKey) -> bytes:
    """What a token of three parts says; raises InvalidSignature or ValueError.

    By hand: one algorithm is three lines, and PyJWT takes twice the time of the signature for what
    else tokens may be. Source: https://www.rfc-editor.org/rfc/rfc7515#section-5.2
    """
    signed, _, signature = token.rpartition(".")
    key.verify(_decoded(signature), signed.encode(), _PADDING, _HASH)
    return _decoded(signed.partition(".")[2])


def _decoded(part: str) -> bytes:
    """One of its parts, whose alphabet was looked at."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class IssuerKeys:
    """An issuer's public keys, read again each hour and, for an unknown one, once a minute.

    If the issuer does not answer, those that are known stay.
    """

    _SECONDS_KEPT = 3600.0
    _SECONDS_BETWEEN = 60.0
    _SECONDS_TO_ANSWER = 5.0

    def __init__(self, issuer: str, clock: Clock, session: aiohttp.ClientSession) -> None:
        """Read nothing yet."""
        self._issuer = issuer
        self._clock = clock
        self._session = session
        self._lock = asyncio.Lock()
        self._keys: dict[str, RSAPublicKey] = {}
        self._read_at = self._asked_at = self._sought_at = -math.inf
        self._readings = 0
        self._failed = False

    async def find(self, kid: str) -> RSAPublicKey:
        """The key with this id.

        Raises:
            RunTokenRefused: the issuer's answer came now, and has no such key.
            KeysUnavailable: it did not answer, or may have made the key since it was asked last
                (has `retry_after`, seconds).
        """
        before = self._readings
        if self._are_old() or kid not in self._keys:
            await self._refresh(before)
        key = self._keys.get(kid)
        if key is not None:
            return key
        # Whoever asked for it: an issuer shows a key before it signs with it.
        if self._readings > before:
            raise RunTokenRefused(_FORGED)
        last = self._asked_at if self._failed else self._sought_at
        waited = self._clock.monotonic() - last
        left = max(1, math.ceil(self._SECONDS_BETWEEN - waited))
        raise KeysUnavailable(retry_after=left)

    async def count(self) -> int:
        """How many keys the issuer has now; they are not kept.

        Raises:
            GitHubError.
        """
        return len(await self._ask())

    def _are_old(self) -> bool:
        return self._clock.monotonic() - self._read_at >= self._SECONDS_KEPT

    async def _refresh(self, before: int) -> None:
        """Ask the issuer, unless somebody did within the last minute; who comes meanwhile waits.

        `before`: how often they had been read when the caller came; read since, they are its own.
        That they were read for their age alone keeps no unknown one waiting: it may be newer.
        """
        async with self._lock:
            now, unknown = self._clock.monotonic(), not (self._failed or self._are_old())
            last = self._sought_at if unknown else self._asked_at
            if self._readings > before or now - last < self._SECONDS_BETWEEN:
                return
            self._asked_at = now
            self._sought_at = now if unknown else self._sought_at
            self._failed = True
            try:
                async with asyncio.timeout(self._SECONDS_TO_ANSWER):
                    self._keys = await self._ask()
            except (GitHubError, TimeoutError) as error:
                _log.warning("oidc.keys_unavailable", error=str(error) or "it takes too long")
                return
            self._read_at, self._failed = self._clock.monotonic(), False
            self._readings += 1

    async def _ask(self) -> dict[str, RSAPublicKey]:
        found = await self._get(f"{self._issuer}/.well-known/openid-configuration")
        where = found.get("jwks_uri")
        same_scheme = f"{urlsplit(self._issuer).scheme}://"
        if found.get("issuer") != self._issuer or not isinstance(where, str):
            raise GitHubAnswered(200, "the discovery document is another issuer's")
        if not where.startswith(same_scheme):
            raise GitHubAnswered(200, "the address of the keys is not one")
        keys = _usable((await self._get(where)).get("keys"))
        if not keys:
            raise GitHubAnswered(200, "no key is usable")
        return keys

    async def _get(self, url: str) -> Mapping[str, Any]:
        answer = await exchange(self._session, "GET", url, _HEADERS, b"")
        if answer.status != 200:
            raise answer.error()
        return answer.mapping()


def _usable(found: Any) -> dict[str, RSAPublicKey]:
    """The keys by `kid` that verify RS256; others are left out."""
    keys: dict[str, RSAPublicKey] = {}
    for each in found if isinstance(found, list) else ():
        if not isinstance(each, dict) or not isinstance(each.get("kid"), str):
            continue
        if each.get("use", "sig") != "sig" or each.get("alg", _ALGORITHM) != _ALGORITHM:
            continue
        try:
            key = RSAAlgorithm.from_jwk(each)
        except (jwt.InvalidKeyError, ValueError, TypeError):
            continue
        if isinstance(key, RSAPublicKey) and key.key_size >= _SHORTEST_KEY:
            keys[each["kid"]] = key
    return keys
