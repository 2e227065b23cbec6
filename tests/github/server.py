"""A few endpoints of GitHub on a socket: what a test scripts, and tokens that are really narrow."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from zekt_bot.testing import ManualClock
from zekt_bot.testing import clock as clocks
from zekt_bot.testing.world import private_key

if TYPE_CHECKING:
    from zekt_bot.config import App, AppCredentials

START = clocks.START
INSTALLATION = 77
CONSUMER = 1001


class TestClock(ManualClock):
    """A clock that moves by keywords."""

    __test__ = False

    def pass_(self, **duration: float) -> None:
        self.advance(timedelta(**duration))


class FixedCredentials:
    """Credentials that a test may exchange; `hidden` ones are found at the second look."""

    def __init__(self, found: AppCredentials) -> None:
        self.found = found
        self.hidden: AppCredentials | None = None

    async def get(self, app: App, *, anew: bool = False) -> AppCredentials:
        assert app == "orchestrator"
        found, self.found = self.found, self.hidden or self.found
        return found


def public_key(ordinal: int) -> Any:
    key = serialization.load_pem_private_key(private_key(ordinal).encode(), None)
    return key.public_key()


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: str = ""

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scripted:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Minted:
    permissions: dict[str, str]
    repositories: frozenset[int] | None
    expires_at: datetime


class FakeGitHub:
    """What it was asked stands in `seen`; what `script` put there is answered first."""

    def __init__(self, clock: TestClock) -> None:
        self.clock = clock
        self.seen: list[Seen] = []
        self.granted = {CONSUMER}
        self.minted: dict[str, Minted] = {}
        self.revoked: set[str] = set()
        self.delay = 0.0
        self.broken = False
        self.keys = {0}
        self.installation: dict[str, Any] | None = {
            "id": INSTALLATION,
            "suspended_at": None,
            "permissions": {"contents": "write", "metadata": "read", "actions": "read"},
        }
        self.repositories: dict[int, dict[str, Any]] = {
            CONSUMER: {"id": CONSUMER, "full_name": "octo/consumer", "archived": False}
        }
        self._scripts: dict[tuple[str, str], deque[Scripted]] = {}
        self.app = web.Application()
        self.app.router.add_route("*", "/{path:.*}", self._handle)

    def script(self, method: str, path: str, status: int, body: Any = None, **headers: str) -> None:
        """Answer this next."""
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        self._scripts.setdefault((method, path), deque()).append(Scripted(status, body, lines))

    def count(self, method: str, path: str) -> int:
        return sum((seen.method, seen.path) == (method, path) for seen in self.seen)

    @property
    def mints(self) -> list[Any]:
        return [seen.json() for seen in self.seen if seen.path.endswith("/access_tokens")]

    async def _handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body, query = await request.read(), request.query_string
        seen = Seen(request.method, request.path, headers, body, query)
        self.seen.append(seen)
        await asyncio.sleep(self.delay)
        if self.broken:
            assert request.transport is not None
            request.transport.abort()
        scripted = self._scripts.get((seen.method, seen.path))
        if scripted:
            return _response(scripted.popleft())
        return _response(self._answer(seen))

    def _answer(self, seen: Seen) -> Scripted:
        parts = seen.path.strip("/").split("/")
        as_app = parts[0] == "app" or parts[-1] == "installation"
        if as_app and not self._knows_jwt(seen):
            return Scripted(401, {"message": "A JSON web token could not be decoded"})
        if parts[:2] == ["app", "installations"]:
            return self._installation(seen, minting=parts[-1] == "access_tokens")
        if as_app:
            return Scripted(200, self.installation)
        if parts[0] == "users":
            return Scripted(200, {"id": 5, "login": parts[1]})
        return self._repository(seen, parts)

    def _installation(self, seen: Seen, *, minting: bool) -> Scripted:
        if self.installation is None:
            return Scripted(404, {"message": "Not Found"})
        if not minting:
            return Scripted(200, self.installation)
        if self.installation["suspended_at"]:
            return Scripted(403, {"message": "This installation has been suspended"})
        wanted = seen.json()
        ids = wanted.get("repository_ids")
        if ids is not None and not set(ids) <= self.granted:
            return Scripted(422, {"message": "There is at least one repository not accessible"})
        return self._mint(wanted["permissions"], None if ids is None else frozenset(ids))

    def _mint(self, permissions: dict[str, str], ids: frozenset[int] | None) -> Scripted:
        token = f"ghs_{len(self.minted):036d}"
        expires = self.clock.now() + timedelta(hours=1)
        self.minted[token] = Minted(permissions, ids, expires)
        answer = {"token": token, "expires_at": expires.isoformat(), "a_new_key": [1]}
        return Scripted(201, answer)

    def _knows_jwt(self, seen: Seen) -> bool:
        token = seen.headers.get("authorization", "").removeprefix("bearer ")
        for ordinal in self.keys:
            try:
                claims = jwt.decode(
                    token,
                    public_key(ordinal),
                    algorithms=["RS256"],
                    options={"verify_exp": False, "verify_iat": False},
                )
            except jwt.InvalidTokenError:
                continue
            now = self.clock.now().timestamp()
            return bool(claims["iat"] <= now < claims["exp"] <= now + 600)
        return False

    def _repository(self, seen: Seen, parts: list[str]) -> Scripted:
        value = seen.headers.get("authorization", "").removeprefix("token ")
        token = self.minted.get(value)
        if token is None or value in self.revoked or token.expires_at <= self.clock.now():
            return Scripted(401, {"message": "Bad credentials"})
        found = self._named(parts)
        if found is None:
            return Scripted(404, {"message": "Not Found"})
        if parts[-1] != "dispatches":
            return Scripted(200, found)
        allowed = token.repositories is not None and found["id"] in token.repositories
        if not allowed or found["id"] not in self.granted:
            return Scripted(404, {"message": "Not Found"})
        if found["archived"]:
            return Scripted(403, {"message": "Repository was archived so is read-only."})
        return Scripted(204, None, {"x-github-request-id": "AB:12"})

    def _named(self, parts: list[str]) -> dict[str, Any] | None:
        if parts[0] == "repositories":
            return self.repositories.get(int(parts[1]))
        name = "/".join(parts[1:3])
        return next((r for r in self.repositories.values() if r["full_name"] == name), None)


def _response(answer: Scripted) -> web.Response:
    if isinstance(answer.body, bytes):
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
    text = "" if answer.body is None else json.dumps(answer.body)
    return web.Response(
        status=answer.status,
        text=text,
        headers=answer.headers,
        content_type="application/json",
    )
