"""The HTTP server: routes, faults, limits, GitHub's headers and the log of requests."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from zekt_bot.testing.answers import (
    DEFAULT_VERSION,
    VERSION_HEADER,
    VERSIONS,
    ApiRefusal,
    check_version,
    no_user_agent,
    not_found,
    tagged,
)
from zekt_bot.testing.api_actions import ActionsApi
from zekt_bot.testing.api_app import AppApi
from zekt_bot.testing.api_contents import ContentsApi
from zekt_bot.testing.api_limits import RateLimitApi
from zekt_bot.testing.api_repositories import RepositoryApi
from zekt_bot.testing.api_users import UserApi
from zekt_bot.testing.install_pages import InstallPages
from zekt_bot.testing.manifests import Manifests
from zekt_bot.testing.oidc import PREFIX as OIDC
from zekt_bot.testing.pages import PageRefusal
from zekt_bot.testing.ratelimits import APP, PATH, USER, Caller
from zekt_bot.testing.sign_in_pages import SignInPages
from zekt_bot.testing.tokens import bearer

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.testing.answers import Handler
    from zekt_bot.testing.core import Core
    from zekt_bot.testing.faults import Fault
    from zekt_bot.testing.model import Token
    from zekt_bot.testing.ratelimits import Bucket

MOST_BYTES = 26_214_400
_ALWAYS = {
    "Server": "github.com",
    "Cache-Control": "no-cache",
    "Vary": "Accept, Authorization, Cookie, X-GitHub-OTP, Accept-Encoding, Accept",
    "X-GitHub-Media-Type": "github.v3; format=json",
    "Access-Control-Allow-Origin": "*",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(eq=False)
class ApiRequest:
    """A request that came. `path` is below the API's base; header names are in lower case."""

    at: datetime
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    token: Token | None = field(repr=False)
    status: int | None = None
    """What was answered; None while it goes on and where no answer was given."""

    def json(self) -> Any:
        """The body, parsed."""
        return orjson.loads(self.body)


class Server:
    """GitHub's API on a socket of the loopback interface."""

    def __init__(self, core: Core, prefix: str = "") -> None:
        """`prefix` is `/api/v3` for the addresses of a GitHub Enterprise Server."""
        self._core = core
        self._prefix = prefix
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._pages: set[web.AbstractRoute] = set()
        self._manifests = Manifests(core)
        self.requests: list[ApiRequest] = []
        self.port = 0

    async def start(self) -> None:
        """Listen; after a stop, at the same port again."""
        app = web.Application(middlewares=[self._middleware], client_max_size=MOST_BYTES)
        for api in (AppApi, RepositoryApi, ActionsApi, ContentsApi, RateLimitApi):
            for method, path, handler in api(self._core).routes():
                app.router.add_route(method, self._prefix + path, handler)
                if method == "GET":
                    app.router.add_route("HEAD", self._prefix + path, handler)
        users = UserApi(self._core)
        for method, path, handler in (*users.web_routes(), *self._core.oidc.routes()):
            app.router.add_route(method, path, handler)
        for method, path, handler in (*self._manifests.routes(), *users.routes()):
            app.router.add_route(method, self._prefix + path, handler)
        self._pages = {
            app.router.add_route(method, path, handler)
            for pages in (self._manifests, InstallPages(self._core), SignInPages(self._core))
            for method, path, handler in pages.pages()
        }
        self._stopping.clear()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening; who waits for an answer gets none."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.route in self._pages:
            try:
                return await handler(request)
            except PageRefusal as refusal:
                return refusal.response()
        seen = await self._write_down(request)
        fault = self._core.faults.take(seen.method, seen.path)
        if fault is not None and fault.when == "before":
            await fault.linger()
        response: web.StreamResponse | None = None
        if fault is None or fault.when == "after" or not fault.replaces:
            response = await self._answer(request, handler, seen)
        if fault is not None and fault.when == "after":
            await fault.linger()
        if fault is not None and fault.replaces:
            response = await self._fail(fault, request)
        if response is None:
            return web.Response()  # the connection is gone
        seen.status = response.status
        return response

    async def _write_down(self, request: web.Request) -> ApiRequest:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = ApiRequest(
            self._core.now(),
            request.method,
            request.path.removeprefix(self._prefix),
            dict(request.query),
            headers,
            await request.read(),
            self._core.token(bearer(headers.get("authorization")) or ""),
        )
        self.requests.append(seen)
        return seen

    async def _answer(
        self,
        request: web.Request,
        handler: Handler,
        seen: ApiRequest,
    ) -> web.StreamResponse:
        if not seen.headers.get("user-agent"):
            return no_user_agent()
        bucket, over = self._count(seen)
        response: web.StreamResponse
        try:
            check_version(seen.headers.get(VERSION_HEADER))
            if over is not None:
                raise over
            if self._core.world.is_private and _needs_token(seen):
                raise ApiRefusal(401, "Must authenticate to access this API.")
            response = await handler(request)
        except ApiRefusal as refusal:
            response = refusal.response()
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            response = not_found().response()
        if seen.method == "GET" and response.status == 200 and seen.path != PATH:
            response = tagged(response, seen.headers.get("if-none-match"))
        if response.status == 304 and "authorization" in seen.headers:
            bucket.used -= 1
        return self._dressed(response, bucket, seen)

    def _count(self, seen: ApiRequest) -> tuple[Bucket, ApiRefusal | None]:
        limits, credential = self._core.limits, bearer(seen.headers.get("authorization"))
        caller = limits.caller(credential, seen.token)
        if user := self._core.people.living(credential or ""):
            caller = Caller(f"user {user.person.id}", USER, f"user ID {user.person.id}")
        elif seen.path.startswith(("/login/oauth/", "/applications/")):
            caller = Caller(seen.path, APP)
        free = seen.path == PATH or seen.path.startswith(OIDC)
        return (limits.look(caller), None) if free else limits.take(caller)

    async def _fail(self, fault: Fault, request: web.Request) -> web.StreamResponse | None:
        if fault.hang:
            await self._stopping.wait()
        if fault.hang or fault.reset:
            if request.transport is not None:
                request.transport.abort()
            return None
        return self._dressed(fault.response(), None, None)

    def _dressed(
        self, response: web.StreamResponse, bucket: Bucket | None, seen: ApiRequest | None
    ) -> web.StreamResponse:
        """With the headers that GitHub sends always; those that are there already stay."""
        always = {**_ALWAYS, "X-GitHub-Request-Id": _request_id()}
        always["Date"] = format_datetime(self._core.now().astimezone(UTC), usegmt=True)
        version = seen and (seen.headers.get(VERSION_HEADER) or DEFAULT_VERSION)
        if version in VERSIONS:
            always["X-GitHub-Api-Version-Selected"] = version
        if bucket is not None:
            always |= bucket.headers()
        for name, value in always.items():
            response.headers.setdefault(name, value)
        return response


def _needs_token(seen: ApiRequest) -> bool:
    """Asking for a token, and what a code or a key proves, goes without."""
    free = ("/login/", "/app-manifests/", OIDC)
    return "authorization" not in seen.headers and not seen.path.startswith(free)


def _request_id() -> str:
    parts = (2, 3, 4, 4, 4)
    return ":".join(secrets.token_hex(size).upper() for size in parts)
