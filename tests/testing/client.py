"""A small GitHub client and a webhook receiver, for the simulator's own tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jwt
from aiohttp import ClientSession, web

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.testing import App, GitHubSimulator, Installation


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


def _read(content_type: str, raw: bytes) -> Any:
    if content_type == "text/html":
        return raw.decode()
    return json.loads(raw) if raw else None


@dataclass
class Client:
    github: GitHubSimulator
    session: ClientSession

    def jwt(self, app: App, **claims: Any) -> str:
        now = int(self.github.clock.now().timestamp())
        told = {"iat": now - 60, "exp": now + 540, "iss": app.client_id, **claims}
        told = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(told, app.private_key, algorithm="RS256")

    async def ask(
        self,
        method: str,
        path: str,
        credential: str | None = None,
        body: Any = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Answer:
        if credential:
            headers = {"Authorization": f"Bearer {credential}", **headers}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        url = path if path.startswith("http") else self.github.api_url + path
        async with self.session.request(
            method, url, headers=headers, data=data, allow_redirects=False
        ) as answer:
            raw = await answer.read()
            return Answer(answer.status, answer.headers, _read(answer.content_type, raw))

    async def as_app(self, app: App, path: str, method: str = "GET", body: Any = None) -> Answer:
        return await self.ask(method, path, self.jwt(app), body)

    async def mint(self, installation: Installation, **narrow: Any) -> Answer:
        path = f"/app/installations/{installation.id}/access_tokens"
        return await self.as_app(installation.app, path, "POST", narrow)

    async def token(self, installation: Installation, **narrow: Any) -> str:
        answer = await self.mint(installation, **narrow)
        assert answer.status == 201, answer.body
        token: str = answer.body["token"]
        return token

    async def dispatch(
        self, token: str, full_name: str, event_type: str = "build", payload: Any = None
    ) -> Answer:
        body = {"event_type": event_type, "client_payload": payload or {}}
        return await self.ask("POST", f"/repos/{full_name}/dispatches", token, body)


@dataclass
class Hook:
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def event(self) -> str:
        return self.headers["X-GitHub-Event"]

    @property
    def named(self) -> str:
        return f"{self.event}.{self.body.get('action')}"


@dataclass
class Receiver:
    """Answers `status` and keeps what came."""

    status: int = 202
    hooks: list[Hook] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        self.hooks.append(Hook(request.headers.copy(), await request.read()))
        return web.json_response({"ok": True}, status=self.status)

    @property
    def names(self) -> list[str]:
        return [hook.named for hook in self.hooks]
