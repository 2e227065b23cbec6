"""What Zekt asks of GitHub: as the App, and as one installation with its narrow tokens."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from zekt_bot.errors import AppRejected, ConfigurationError, GitHubAnswered, InstallationSuspended
from zekt_bot.github.http import HEADERS, Answer, exchange
from zekt_bot.github.octo import App, app_config

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    import aiohttp

    from zekt_bot.clock import Clock
    from zekt_bot.config import App as AppName
    from zekt_bot.config import Credentials, Settings
    from zekt_bot.github.octo import Installation
    from zekt_bot.hookspecs import ReadApi

REDIRECTS = frozenset({301, 302, 307, 308})
# GitHub may refuse the key of an App that was made some seconds ago.
_LEARNING = timedelta(seconds=12)
_AGAIN = timedelta(seconds=1)
T = TypeVar("T")


async def _allowed() -> None:
    """Whoever names no permit needs none."""


class GitHub:
    """GitHub's API. Every call raises only `GitHubError`s (and `app` `ConfigurationError`)."""

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        clock: Clock,
        session: aiohttp.ClientSession,
        which: AppName = "orchestrator",
    ) -> None:
        """Nothing is asked of GitHub; `session` stays the caller's to close."""
        self._which: AppName = which
        self._settings = settings
        self._credentials = credentials
        self._clock = clock
        self._session = session
        self._base = settings.github_api_url.rstrip("/")
        self._lock = asyncio.Lock()
        self._app: tuple[str, App] | None = None

    def beside(self, which: AppName, credentials: Credentials | None = None) -> GitHub:
        """The same GitHub, asked as the other App, or with other credentials."""
        held = credentials or self._credentials
        return GitHub(self._settings, held, self._clock, self._session, which)

    async def app(self) -> App:
        """The App with its present credentials; with other ones all its tokens are forgotten.

        Raises:
            ConfigurationError: there are no credentials, or the key is none.
        """
        found = await self._credentials.get(self._which)
        if self._app is not None and self._app[0] == found.version:
            return self._app[1]
        async with self._lock:
            if self._app is None or self._app[0] != found.version:
                config = await asyncio.to_thread(app_config, found, self._which)
                app = App(config, self._settings, self._clock, self._session)
                self._app = found.version, app
            return self._app[1]

    def now(self) -> datetime:
        """The present moment."""
        return self._clock.now()

    @property
    def proof(self) -> tuple[str, int]:
        """The credentials' version, and how many answers have shown that GitHub takes that key."""
        return (self._app[0], self._app[1].proofs) if self._app else ("", 0)

    def read_api(self, installation_id: int) -> ReadApi:
        """What observers are handed: one installation, read-only."""
        return _ReadApi(self, installation_id)

    def installation_api(
        self,
        installation_id: int,
        repository_id: int,
        permit: Callable[[], Awaitable[None]] = _allowed,
    ) -> RepositoryApi:
        """What a channel is handed to reach one repository of one installation.

        `permit` is asked when the token is there, right before each POST; what it raises stops it.
        """
        return RepositoryApi(self, installation_id, repository_id, permit)

    async def installation(self, installation_id: int) -> dict[str, Any] | None:
        """The installation, or None if it is gone.

        Raises:
            AppRejected: GitHub refuses the App's key, or there is none.
            GitHubAnswered: any status but 200 and 404.
            GitHubUnreachable: no answer.

        Source: https://docs.github.com/rest/apps/apps#get-an-installation-for-the-authenticated-app
        """
        return _found(await self.ask_as_app(f"/app/installations/{installation_id:d}"))

    async def repository_installation(self, full_name: str) -> dict[str, Any] | None:
        """The installation that covers `OWNER/REPO`, or None if the App is not there.

        Raises:
            GitHubError: as in `installation`.

        Source: https://docs.github.com/rest/apps/apps#get-a-repository-installation-for-the-authenticated-app
        """
        path = f"/repos/{_escaped(full_name)}/installation"
        answer = await self.ask_as_app(path)
        if answer.status in REDIRECTS:
            answer = await self.ask_as_app(self._path_of(answer))
        return _found(answer)

    async def repository(
        self,
        installation_id: int,
        *,
        full_name: str | None = None,
        repository_id: int | None = None,
    ) -> dict[str, Any] | None:
        """The repository by its id, or else by its name (also a former one), or None.

        A public repository is found even if the installation does not grant it.

        Raises:
            InstallationGone, InstallationSuspended: the installation cannot be asked.
            GitHubError: as in `installation`.

        Source: https://docs.github.com/rest/repos/repos#get-a-repository
        """
        if repository_id is not None:
            path = f"/repositories/{repository_id:d}"
        else:
            path = f"/repos/{_escaped(full_name or '')}"
        answer = await self.ask_as_installation(installation_id, path)
        if answer.status in REDIRECTS:
            answer = await self.ask_as_installation(installation_id, self._path_of(answer))
        return _found(answer)

    async def ask_as_nobody(self, path: str) -> Answer:
        """GET without a token; any status is an answer, such as 403 after 60 requests an hour.

        Raises:
            GitHubUnreachable: no answer.
        """
        return await exchange(self._session, "GET", self._base + path, HEADERS, b"")

    async def convert(self, code: str) -> dict[str, Any] | None:
        """The new App and its secrets for the code of its manifest; None: GitHub knows no such.

        It answers once, within an hour of the App's making.

        Raises:
            GitHubAnswered: any status but 201, 404 and 422.
            GitHubUnreachable: no answer.

        Source: https://docs.github.com/rest/apps/apps#create-a-github-app-from-a-manifest
        """
        url = f"{self._base}/app-manifests/{quote(code, safe='')}/conversions"
        answer = await exchange(self._session, "POST", url, HEADERS, b"")
        if answer.status in {404, 422}:
            return None
        if answer.status != 201:
            raise answer.error()
        return answer.mapping()

    async def permission(
        self, installation_id: int, repository_id: int, login: str
    ) -> dict[str, Any] | None:
        """What a person may do to a repository, or None if GitHub shows one of them not.

        It is asked for by the repository's id: a name may meanwhile be another's.

        Raises:
            GitHubError: as in `repository`.

        Source: https://docs.github.com/rest/collaborators/collaborators#get-repository-permissions-for-a-user
        """
        who = quote(login, safe="")
        path = f"/repositories/{repository_id:d}/collaborators/{who}/permission"
        return _found(await self.ask_as_installation(installation_id, path))

    async def change_webhook_secret(self, secret: str) -> None:
        """Let GitHub sign the App's webhooks with this secret from now on.

        Raises:
            AppRejected: GitHub refuses the App's key, or there is none.
            GitHubAnswered: any status but 200.
            GitHubUnreachable: no answer; it may have done so.

        Source: https://docs.github.com/rest/apps/webhooks#update-a-webhook-configuration-for-an-app
        """
        body = json.dumps({"secret": secret}).encode()
        answer = await self.ask_as_app("/app/hook/config", "PATCH", body)
        if answer.status != 200:
            raise answer.error()

    async def ask_as_app(self, path: str, method: str = "GET", body: bytes = b"") -> Answer:
        """Ask with the App's JWT; any status but 401 is an answer.

        Raises:
            AppRejected: GitHub refuses the App's key, or there is none.
            GitHubUnreachable: no answer.
        """

        async def ask(app: App) -> Answer:
            answer = await app.ask(method, path, body)
            if answer.status == 401:
                raise AppRejected(f"{AppRejected()} (GitHub says: {answer.message})")
            return answer

        return await self.with_app(ask)

    async def ask_as_installation(
        self, installation_id: int, path: str, *, known: str | None = None
    ) -> Answer:
        """GET with the installation's `read` token, after a 401 once with a new one.

        `known` is an ETag: 304, which counts against no limit, if what it stands for is the same.

        Raises:
            InstallationGone, InstallationSuspended: the installation cannot be asked.
            GitHubError: no token can be minted, or no answer came.
        """

        async def ask(app: App) -> Answer:
            installation = app.installation(installation_id)
            token = await installation.tokens.read()
            client = installation.api_client
            answer = await client.ask("GET", path, token=token, known=known)
            if answer.status == 401:
                token = await installation.tokens.read(rejected=token)
                answer = await client.ask("GET", path, token=token, known=known)
            if await installation.is_suspended(answer):  # a token outlives that by up to an hour
                raise InstallationSuspended
            return answer

        return await self.with_app(ask)

    async def with_app(self, call: Callable[[App], Awaitable[T]]) -> T:
        """Call with the App; if its key is refused, again with newer credentials, and for some
        seconds with a key so new that GitHub has yet to learn it.

        Raises:
            AppRejected: the key is refused or cannot be used.
        """
        began = self._clock.now()
        try:
            app = await self.app()
            while True:
                try:
                    return await call(app)
                except AppRejected:
                    former, app = app, await self.app()
                    if app is former and not await self._is_learned_soon(began):
                        raise
        except ConfigurationError as error:
            raise AppRejected(str(error)) from None

    async def _is_learned_soon(self, began: datetime) -> bool:
        """Whether GitHub may have to learn the key still: then true a second later."""
        found, now = await self._credentials.get(self._which), self._clock.now()
        if found.key_stored_at is None:
            return False
        if now >= min(found.key_stored_at, began) + _LEARNING:  # no clock is trusted for longer
            return False
        await self._clock.sleep_until(now + _AGAIN)
        return True

    def _path_of(self, answer: Answer) -> str:
        """The path of a redirect that stays within the API; tokens go nowhere else."""
        location = answer.headers.get("location", "")
        if location.startswith(f"{self._base}/"):
            return location.removeprefix(self._base)
        raise GitHubAnswered(answer.status, "a redirect to another place")


class _ReadApi:
    """`zekt_bot.ReadApi`: one installation."""

    def __init__(self, github: GitHub, installation_id: int) -> None:
        self._github = github
        self._installation_id = installation_id

    async def get(self, path: str) -> Answer:
        """GET with the `read` token."""
        return await self._github.ask_as_installation(self._installation_id, path)

    async def installation(self) -> Answer:
        """GET the installation as the App."""
        return await self._github.ask_as_app(f"/app/installations/{self._installation_id:d}")

    def now(self) -> datetime:
        """The present moment."""
        return self._github.now()


class RepositoryApi(_ReadApi):
    """`zekt_bot.InstallationApi`: one repository of one installation, for one attempt."""

    def __init__(
        self,
        github: GitHub,
        installation_id: int,
        repository_id: int,
        permit: Callable[[], Awaitable[None]],
    ) -> None:
        """`permit` is asked before each POST."""
        super().__init__(github, installation_id)
        self.permit = permit
        self._repository_id = repository_id
        self._used: str | None = None

    async def post(self, path: str, body: bytes, *, fresh_token: bool = False) -> Answer:
        """POST with the `dispatch` token."""

        async def call(app: App) -> Answer:
            installation = app.installation(self._installation_id)
            token = self._used = await self._token(installation, fresh=fresh_token)
            await self.permit()  # what stands against it is raised
            answer = await installation.api_client.ask("POST", path, body, token=token)
            if answer.status in {403, 404} and not answer.limited:
                installation.tokens.doubt(self._repository_id)
            return answer

        return await self._github.with_app(call)

    async def _token(self, installation: Installation, *, fresh: bool) -> str:
        dispatch = installation.tokens.dispatch
        token = await dispatch(self._repository_id)
        if fresh and self._used in {None, token}:  # else another attempt has renewed it already
            token = await dispatch(self._repository_id, rejected=token)
        return token


def _found(answer: Answer) -> dict[str, Any] | None:
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise answer.error()
    return answer.mapping()


def _escaped(full_name: str) -> str:
    owner, _, name = full_name.partition("/")
    return f"{quote(owner, safe='')}/{quote(name, safe='')}"
