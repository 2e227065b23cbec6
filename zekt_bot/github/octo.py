"""The seam to octomachinery: its App, its installations, its client and its router, subclassed.

The only import of octomachinery in Zekt. What is taken: the class tree that plugins know
(`GitHubApp` → `GitHubAppInstallation` → `RawGitHubAPI`), the configuration with its parsed key,
the token types and the routing. What is replaced: the clock, the base URL, the error tracker
that it starts, a GET for each event, and one wide token for everything.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from inspect import iscoroutinefunction
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from gidgethub import sansio
from octomachinery.github.api.app_client import GitHubApp
from octomachinery.github.api.raw_client import RawGitHubAPI
from octomachinery.github.api.tokens import GitHubJWTToken, GitHubOAuthToken
from octomachinery.github.config.app import GitHubAppIntegrationConfig
from octomachinery.github.entities.app_installation import GitHubAppInstallation
from octomachinery.github.models import GitHubInstallationAccessToken
from octomachinery.github.models.events import GidgetHubWebhookEvent
from octomachinery.github.models.utils import SuperSecretStr
from octomachinery.routing.default_router import WEBHOOK_EVENTS_ROUTER
from octomachinery.routing.routers import GidgetHubRouterBase
from octomachinery.runtime.context import RUNTIME_CONTEXT

from zekt_bot.errors import ConfigurationError, InstallationSuspended
from zekt_bot.github.http import HEADERS, USER_AGENT, Answer, exchange
from zekt_bot.github.keys import key_wanted, pem_of
from zekt_bot.github.tokens import READ, InstallationTokens, mint_error, token_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiohttp import ClientSession

    from zekt_bot.clock import Clock
    from zekt_bot.config import App as AppName
    from zekt_bot.config import AppCredentials, Settings
    from zekt_bot.domain.webhooks import GitHubEvent
    from zekt_bot.github.tokens import Token

JWT_LIFE = timedelta(minutes=9)  # with the 60 s back it spans the ten minutes that GitHub allows
JWT_KEPT = timedelta(minutes=7)
_SKEW = timedelta(seconds=60)
_PLAIN = (str, int, float, NoneType)

H = TypeVar("H")


def app_config(
    credentials: AppCredentials, app: AppName = "orchestrator"
) -> GitHubAppIntegrationConfig:
    """octomachinery's configuration of the App, its private key parsed (slow: up to 0.3 s).

    Raises:
        ConfigurationError: the App id or the key is missing, or the key is no RSA key.
    """
    prefix = f"ZEKT_{app.upper()}"
    if not credentials.app_id:
        raise ConfigurationError(
            f"{prefix}_APP_ID is not set: give the App's number, or make the App on the setup "
            "page (`zekt setup-link`)."
        )
    if not credentials.private_key:
        raise ConfigurationError(f"{prefix}_PRIVATE_KEY is not set. {key_wanted(app)}")
    pem = pem_of(credentials.private_key, app)
    try:
        config = _parsed(str(credentials.app_id), pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(key_wanted(app)) from None
    if not isinstance(_key(config), RSAPrivateKey):
        raise ConfigurationError(key_wanted(app))
    return config


@lru_cache(maxsize=4)  # the server's check and its first request ask for the same
def _parsed(app_id: str, pem: str) -> GitHubAppIntegrationConfig:
    values = {"app_id": app_id, "private_key": pem, "app_name": "zekt"}
    return GitHubAppIntegrationConfig(**values)


def _key(config: GitHubAppIntegrationConfig) -> Any:
    # Its own make_jwt_for reads the system's clock, so the key object is taken out.
    return config.private_key._rsa_private_key


class ApiClient(RawGitHubAPI):
    """octomachinery's client over our exchange: no redirects, a time-out, a pinned version.

    gidgethub's methods (`getitem`, `getiter` …) work and raise its errors; `ask` returns any
    answer, also those with a status that Python does not know (520, 529).
    """

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        token: str | None = None,
        known: str | None = None,
    ) -> Answer:
        """Send JSON (or nothing) to a path below the API's base, with the client's own token
        or the installation token given. `known` is the ETag of what one has already.

        Raises:
            GitHubUnreachable: no answer came.
            GitHubError: the client's own token cannot be minted.
        """
        bearer = f"token {token}" if token else await self._own_bearer()
        headers = {**HEADERS, "authorization": bearer}
        if body:
            headers["content-type"] = "application/json"
        if known:
            headers["if-none-match"] = known
        url = f"{self.base_url}/{path.lstrip('/')}"
        answer = await exchange(self._session, method, url, headers, body)
        if "x-ratelimit-limit" in answer.headers:
            with suppress(ValueError, OverflowError, OSError):  # senseless headers of a proxy
                self.rate_limit = sansio.RateLimit.from_http(answer.headers) or self.rate_limit
        return answer

    async def _own_bearer(self) -> str:
        own = await self._token() if iscoroutinefunction(self._token) else self._token
        return f"{'bearer' if isinstance(own, GitHubJWTToken) else 'token'} {own}"

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        answer = await exchange(self._session, method, url, {**headers, **HEADERS}, body)
        return answer.status, answer.headers, answer.body


@dataclass(frozen=True, slots=True)
class InstallationId:
    """All that an installation needs to be known by; octomachinery's own model needs a GET."""

    id: int

    @property
    def access_tokens_url(self) -> str:
        """Where its tokens are minted, below the API's base."""
        return f"/app/installations/{self.id}/access_tokens"


class Installation(GitHubAppInstallation):
    """An installation of the App: its narrow tokens, and its one client (with `read`)."""

    def __init__(self, app: App, installation_id: int) -> None:
        """Nothing is asked of GitHub."""
        super().__init__(InstallationId(installation_id), app)  # type: ignore[arg-type]
        self.id = installation_id
        self.tokens = InstallationTokens(self.mint, app.clock)
        self._client = app.client(self._refresh_api_token)
        self._stands_until = app.clock.monotonic()

    def __repr__(self) -> str:
        return f"<Installation {self.id}>"

    __eq__ = object.__eq__
    __hash__ = object.__hash__  # type: ignore[assignment] # attrs had taken it away

    @property
    def api_client(self) -> ApiClient:
        """The client, always the same one, so that it remembers its rate limit."""
        return self._client

    async def mint(
        self, permissions: Mapping[str, str], repository_ids: Sequence[int] | None
    ) -> Token:
        """Make a token with these permissions for these repositories (None: all).

        Raises:
            AppRejected: 401 to the App's JWT.
            InstallationGone: 404.
            InstallationSuspended: 403 because of a suspension.
            GitHubAnswered: any other status than 201, such as 422 for what is not granted.
            GitHubUnreachable: no answer.

        Source: https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app
        """
        wanted: dict[str, Any] = {"permissions": dict(permissions)}
        if repository_ids is not None:
            wanted["repository_ids"] = list(repository_ids)
        answer = await self.app.ask(
            "POST", self._metadata.access_tokens_url, json.dumps(wanted).encode()
        )
        if await self.is_suspended(answer):
            raise InstallationSuspended
        if answer.status not in {200, 201}:
            raise mint_error(answer)
        return token_of(answer)

    async def is_suspended(self, refusal: Answer) -> bool:
        """Whether a suspension is why GitHub refuses; without an answer GitHubUnreachable."""
        if refusal.status != 403 or refusal.limited:
            return False
        if "suspend" in refusal.message.lower():
            return True
        # An IP allow list refuses all that is asked: that it stands is believed for a minute.
        if (now := self.app.clock.monotonic()) >= self._stands_until:
            answer = await self.app.ask("GET", f"/app/installations/{self.id}")
            if answer.status == 200 and answer.mapping().get("suspended_at"):
                return True
            self._stands_until = now + 60
        return False

    async def get_token(self) -> GitHubInstallationAccessToken:
        """The kept `read` token, in octomachinery's type."""
        return GitHubInstallationAccessToken(
            token=SuperSecretStr(await self.tokens.read()),
            expires_at=0,  # unused: `tokens` knows, from our Clock
            permissions=dict(READ),
            repository_selection="all",
        )

    async def _refresh_api_token(self) -> GitHubOAuthToken:
        return GitHubOAuthToken(SuperSecretStr(await self.tokens.read()))


class App(GitHubApp):
    """An App with one set of credentials; other credentials, another App."""

    def __init__(
        self,
        config: GitHubAppIntegrationConfig,
        settings: Settings,
        clock: Clock,
        session: ClientSession,
    ) -> None:
        """`config` is from `app_config`. Nothing is asked of GitHub."""
        super().__init__(config, session)
        self.clock = clock
        self._base_url = settings.github_api_url.rstrip("/")
        self._jwt: tuple[datetime, str] | None = None
        self.proofs = 0
        self._client = self.client(self._jwt_token)
        self._installations: dict[int, Installation] = {}

    def __attrs_post_init__(self) -> None:
        """Do nothing: the original starts Sentry, which costs and displaces the user's own."""

    def __repr__(self) -> str:
        return f"<App {self._config.app_id}>"

    __eq__ = object.__eq__
    __hash__ = object.__hash__  # type: ignore[assignment] # attrs had taken it away

    def client(self, token: Callable[[], Any]) -> ApiClient:
        """A client whose token `token` (a coroutine function) gives at each request."""
        return ApiClient(
            token,  # type: ignore[arg-type] # its annotation forgets what its code takes
            session=self._http_session,
            user_agent=USER_AGENT,
            base_url=self._base_url,
        )

    @property
    def api_client(self) -> ApiClient:
        """The client that speaks as the App, always the same one."""
        return self._client

    @property
    def gh_jwt(self) -> GitHubJWTToken:
        """The App's JSON Web Token, signed by our Clock and kept for seven minutes.

        Source: https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app
        """
        now = self.clock.now()
        if self._jwt is None or not timedelta(0) <= now - self._jwt[0] < JWT_KEPT:
            issued = int((now - _SKEW).timestamp())
            claims = {
                "iat": issued,
                "exp": int((now + JWT_LIFE).timestamp()),
                "iss": self._config.app_id,
            }
            self._jwt = now, jwt.encode(claims, _key(self._config), algorithm="RS256")
        return GitHubJWTToken(SuperSecretStr(self._jwt[1]))

    async def _jwt_token(self) -> GitHubJWTToken:
        return self.gh_jwt

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Ask as the App; after a 401 once more with a new JWT. `proofs` counts what took it.

        Raises:
            GitHubUnreachable: no answer.
        """
        answer = await self._client.ask(method, path, body)
        if answer.status == 401:
            self._jwt = None
            answer = await self._client.ask(method, path, body)
        if answer.status != 401 and answer.status < 500 and not answer.limited:
            self.proofs += 1
        return answer

    def installation(self, installation_id: int) -> Installation:
        """The installation with this id, always the same object; GitHub is not asked."""
        if installation_id not in self._installations:
            self._installations[installation_id] = Installation(self, installation_id)
        return self._installations[installation_id]

    async def get_installation_by_id(self, install_id: int) -> Installation:
        """octomachinery's name for `installation`; its `get_installation(event)` uses it."""
        return self.installation(install_id)


class EventRouter(Generic[H]):
    """Which handlers an event has: octomachinery's matching without its dispatching."""

    def __init__(self, routes: GidgetHubRouterBase | None = None) -> None:
        """Begin empty, or read octomachinery's `routes`."""
        self._routes = GidgetHubRouterBase() if routes is None else routes

    def add(self, handler: H, event: str, action: str | None = None) -> None:
        """Let `handler` have `event`, with `action` only, or with any and none."""
        if action is None:
            self._routes.add(handler, event)  # type: ignore[arg-type] # any object will do
        else:
            self._routes.add(handler, event, action=action)  # type: ignore[arg-type]

    def match(self, event: str, payload: Mapping[str, Any]) -> list[H]:
        """The handlers of an event, each once, in the order of their adding.

        Handlers of all actions come first. A payload can hold anything: only its plain values
        are compared.
        """
        plain = {k: v for k, v in payload.items() if isinstance(v, _PLAIN)}
        return list(dict.fromkeys(self._routes.emit_routes_for(event, plain)))  # type: ignore[arg-type]


def plugin_handlers() -> dict[Callable[..., Any], set[str]]:
    """Every handler that octomachinery's decorators know so far, with its events."""
    known: dict[Callable[..., Any], set[str]] = {}
    for event, handlers in WEBHOOK_EVENTS_ROUTER._shallow_routes.items():
        for handler in handlers:
            known.setdefault(handler, set()).add(event)
    for event, keys in WEBHOOK_EVENTS_ROUTER._deep_routes.items():
        for handler in (h for values in keys.values() for many in values.values() for h in many):
            known.setdefault(handler, set()).add(event)
    return known


async def tell(handler: Callable[..., Any], event: GitHubEvent, app: App) -> None:
    """Call one handler of octomachinery's kind, in a task of its own: it reads RUNTIME_CONTEXT.

    The installation's client has a token that may only read.

    Raises:
        Exception: whatever the handler raises.
    """
    RUNTIME_CONTEXT.IS_GITHUB_ACTION = False
    RUNTIME_CONTEXT.IS_GITHUB_APP = True
    webhook = GidgetHubWebhookEvent(event.name, event.payload, _uuid4(event.delivery))
    RUNTIME_CONTEXT.github_event = webhook
    RUNTIME_CONTEXT.github_app = app
    RUNTIME_CONTEXT.app_installation = None
    if event.installation_id is not None:
        installation = app.installation(event.installation_id)
        RUNTIME_CONTEXT.app_installation = installation
        RUNTIME_CONTEXT.app_installation_client = installation.api_client
    await handler(webhook)


def _uuid4(delivery: str) -> uuid.UUID:
    """GitHub's delivery id in the form that octomachinery insists on."""
    try:
        return uuid.UUID(delivery, version=4)
    except ValueError:
        return uuid.UUID(bytes=hashlib.sha256(delivery.encode()).digest()[:16], version=4)


def plugin_router() -> EventRouter[Callable[..., Any]]:
    """The router that octomachinery's `@process_event…` decorators fill when plugins load."""
    return EventRouter(WEBHOOK_EVENTS_ROUTER)


__all__ = [
    "ApiClient",
    "App",
    "EventRouter",
    "Installation",
    "app_config",
    "plugin_handlers",
    "plugin_router",
    "tell",
]
