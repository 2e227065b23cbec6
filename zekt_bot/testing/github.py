"""A real HTTP server that behaves as GitHub towards this product.

For tests, the demo and plugin authors. It knows time from the Clock that the product is given.

    async with GitHubSimulator(clock) as github:
        acme = github.account("acme")
        app = github.app("zekt", hook_url="http://127.0.0.1:8080/webhooks/github")
        await github.install(app, acme)
        run = await github.start_run(github.repository(acme, "api"), "ci.yml")
        await run.complete("success")

Source: https://docs.github.com/rest and https://docs.github.com/webhooks
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from zekt_bot.clock import SystemClock
from zekt_bot.testing.core import Core
from zekt_bot.testing.faults import Fault
from zekt_bot.testing.scripts import InstallationScripts, RepositoryScripts
from zekt_bot.testing.server import Server
from zekt_bot.testing.shapes import Urls
from zekt_bot.testing.workflow_scripts import WorkflowScripts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from zekt_bot.clock import Clock
    from zekt_bot.testing.dispatches import Dispatch
    from zekt_bot.testing.faults import FaultOptions
    from zekt_bot.testing.model import Account, App, Kind, Repository
    from zekt_bot.testing.oidc import OidcIssuer
    from zekt_bot.testing.runs import Runner, RunOptions, WorkflowRun
    from zekt_bot.testing.server import ApiRequest
    from zekt_bot.testing.webhooks import WebhookDelivery

PERMISSIONS = {"actions": "read", "contents": "write", "metadata": "read"}
EVENTS = ("installation_target", "repository", "workflow_job", "workflow_run")


class AppOptions(TypedDict, total=False):
    """How an App is registered; unless told, as Zekt's orchestration App."""

    hook_url: str | None
    permissions: Mapping[str, str]
    events: Sequence[str]
    owner: Account
    name: str
    webhook_secret: str
    callback_urls: Sequence[str]
    """Where people may be sent back to after they signed in."""


class RepositoryOptions(TypedDict, total=False):
    """What a repository is like; unless told, public, with `main`."""

    private: bool
    internal: bool
    """Open to its enterprise, private to everybody else."""
    default_branch: str
    description: str | None
    archived: bool
    fork: bool


class GitHubSimulator(InstallationScripts, RepositoryScripts, WorkflowScripts):
    """GitHub. Use it as an async context manager, or call `start` and `stop`.

    Before the start, all but answering and sending works: webhooks are written down as failed.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        api_prefix: str = "",
        port: int = 0,
        hook_timeout: float = 10.0,
        local_hooks: bool = False,
    ) -> None:
        """`api_prefix="/api/v3"` gives the addresses of a GitHub Enterprise Server.

        `local_hooks`: manifests may name this machine, which GitHub cannot reach and refuses.
        """
        self.clock: Clock = clock or SystemClock()
        core = Core(self.clock, hook_timeout)
        core.world.takes_local_hooks = local_hooks
        super().__init__(core)
        self._server = Server(core, api_prefix)
        self._server.port = port
        self._api_prefix = api_prefix

    async def start(self) -> None:
        """Listen on the loopback interface; after a stop, at the same port."""
        await self._server.start()
        web = f"http://127.0.0.1:{self._server.port}"
        self._core.urls = Urls(web + self._api_prefix, web)
        await self._core.hooks.open()

    async def stop(self) -> None:
        """Be down, as GitHub may be; what it knows stays."""
        await self._core.cancel_all()
        await self._server.stop()
        await self._core.hooks.close()

    async def __aenter__(self) -> GitHubSimulator:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        await self.stop()

    @property
    def api_url(self) -> str:
        """The base of the REST API, without a trailing slash."""
        return self._core.urls.api

    @property
    def web_url(self) -> str:
        """The base of the pages for people."""
        return self._core.urls.web

    url = web_url

    @property
    def requests(self) -> list[ApiRequest]:
        """All requests to the API, the oldest first."""
        return self._server.requests

    @property
    def dispatches(self) -> list[Dispatch]:
        """The accepted dispatches, the oldest first."""
        return self._core.dispatches

    @property
    def deliveries(self) -> list[WebhookDelivery]:
        """The webhooks that were sent, the oldest first."""
        return self._core.hooks.log

    @property
    def runs(self) -> list[WorkflowRun]:
        """All runs, the oldest first."""
        return self._core.world.runs

    @property
    def sender(self) -> Account:
        """The person who does what the scripts do."""
        return self._core.world.sender

    @property
    def oidc(self) -> OidcIssuer:
        """Who makes the tokens with which runs say who they are."""
        return self._core.oidc

    @property
    def urls(self) -> Urls:
        """The addresses, for the payload builders."""
        return self._core.urls

    @property
    def core(self) -> Core:
        """The state behind it all, for tests that reach deeper."""
        return self._core

    def account(self, login: str, kind: Kind = "Organization") -> Account:
        """A new account."""
        return self._core.world.add_account(login, kind)

    def repository(
        self, owner: Account, name: str, **options: Unpack[RepositoryOptions]
    ) -> Repository:
        """A new repository. Nothing is sent."""
        repository = self._core.world.add_repository(owner, name)
        for option, value in options.items():
            setattr(repository, option, value)
        repository.private = repository.private or repository.internal
        return repository

    def app(self, slug: str, **options: Unpack[AppOptions]) -> App:
        """Register an App, which has `app_id`, `private_key` and `webhook_secret`."""
        owner = options.get("owner") or self.sender
        permissions = options.get("permissions", PERMISSIONS)
        app = self._core.world.add_app(slug, owner, permissions, options.get("events", EVENTS))
        app.hook_url = options.get("hook_url")
        app.name = options.get("name", slug)
        app.callback_urls = tuple(options.get("callback_urls", ()))
        app.webhook_secret = options.get("webhook_secret", app.webhook_secret)
        return app

    async def start_run(
        self, repository: Repository, path: str, **options: Unpack[RunOptions]
    ) -> WorkflowRun:
        """A run of a workflow, which is added if need be; sends `workflow_run.requested`."""
        full = path if "/" in path else f".github/workflows/{path}"
        known = next((one for one in repository.workflows if one.path == full), None)
        workflow = known or self.add_workflow(repository, path)
        return await self._core.begin(workflow, options)

    def use_runner(self, runner: Runner) -> None:
        """From now on, what a dispatch starts is run: the files without `finishes`."""
        self._core.runner = runner

    async def run_workflow(
        self, repository: Repository, path: str, **options: Unpack[RunOptions]
    ) -> WorkflowRun:
        """A run of a workflow's file, to its end, by the runner in use."""
        run = await self.start_run(repository, path, **options)
        await self._core.play(run)
        return run

    async def rerun(self, run: WorkflowRun) -> None:
        """Let the runner in use run all jobs of an ended run again, to its end."""
        await run.rerun()
        await self._core.play(run)

    async def wait_for_dispatches(self, count: int = 1, timeout: float = 60.0) -> list[Dispatch]:
        """All dispatches, once there are so many.

        Raises:
            TimeoutError: there are not within so many real seconds.
        """
        await self._core.until(lambda: len(self.dispatches) >= count, timeout)
        return self.dispatches

    async def wait_for_run(
        self, repository: Repository, status: str = "in_progress", timeout: float = 60.0
    ) -> WorkflowRun:
        """The repository's newest run, once its status is this.

        Raises:
            TimeoutError: it is not within so many real seconds.
        """

        def there() -> bool:
            runs = self._core.world.runs_of(repository)
            return bool(runs) and runs[0].status == status

        await self._core.until(there, timeout)
        return self._core.world.runs_of(repository)[0]

    async def settle(self) -> None:
        """Wait until all that goes on by itself is over: runs of dispatches, redeliveries."""
        await self._core.settle()

    def hold(self) -> AbstractContextManager[list[WebhookDelivery]]:
        """Within, webhooks are collected in the list instead of sent; see `deliver`."""
        return self._core.hooks.hold()

    def outage(self, *events: str) -> AbstractContextManager[None]:
        """Within, webhooks are neither sent nor written down: of these events, or all."""
        return self._core.hooks.outage(*events)

    def lead(self, address: str, place: str) -> None:
        """Let webhooks for `https://zekt.example` go to this machine: `http://127.0.0.1:8080`."""
        self._core.hooks.led[address] = place

    async def deliver(self, delivery: WebhookDelivery) -> WebhookDelivery:
        """Send a webhook that was held back, or once more one that was sent."""
        return await self._core.hooks.deliver(delivery)

    async def redeliver(self, guid: str, app: App | None = None) -> list[WebhookDelivery]:
        """Send an event again, as the button on GitHub's page does: the same GUID."""
        return await self._core.hooks.redeliver(guid, app)

    async def send(self, app: App, event: str, payload: dict[str, Any]) -> WebhookDelivery:
        """Send any payload as a webhook of this App, subscribed or not."""
        return (await self._core.hooks.send({app: payload}, event))[0]

    def fail(self, method: str, pattern: str, **options: Unpack[FaultOptions]) -> Fault:
        """Let the next requests fail: `fail("POST", "/repos/*/dispatches", status=502, times=2)`.

        `pattern` is matched with the path below the API's base; `*` matches slashes too.
        """
        return self._core.faults.add(Fault(method, pattern, **options))

    def clear_faults(self) -> None:
        """Be well again."""
        self._core.faults.clear()

    def revoke_tokens(self) -> None:
        """Let every installation token die."""
        for token in self._core.world.tokens.values():
            token.revoked = True

    def require_code(self, person: Account, code: str) -> None:
        """Let this person have two-factor sign-in; `code` is what their device shows."""
        self._core.people.second_factors[person.id] = code

    def be_private(self) -> None:
        """As an Enterprise Server in private mode: its API tells nobody anything without a token.

        Source: https://docs.github.com/enterprise-server@latest/admin/configuring-settings/hardening-security-for-your-enterprise/enabling-private-mode
        """
        self._core.world.is_private = True

    def limit_anonymous(self, requests: int) -> None:
        """How many requests without credentials are answered in an hour; 60 on GitHub."""
        self._core.limits.anonymous = requests
