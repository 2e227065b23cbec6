"""The real server as a process of its own, with the GitHub simulator before it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.cli.command import zekt
from tests.stage import ME
from zekt_bot import config
from zekt_bot.app import open_broker
from zekt_bot.cli.demo.stage import kept_port
from zekt_bot.domain.lists import Page
from zekt_bot.operations import repositories, services, subscriptions, workflows
from zekt_bot.operations.deliveries import list_deliveries
from zekt_bot.operations.events import list_events
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.testing import GitHubSimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from zekt_bot.operations.broker import Broker
    from zekt_bot.testing import App, Repository

BRIEF = {"ZEKT_LEASE": "3"}  # where a process is killed: what it held is due again soon
RELEASE = ".github/workflows/release.yml"
DEPLOY = ".github/workflows/deploy.yml"
SECRET = "a webhook secret of the tests"
PATIENCE = 120.0


@dataclass
class Zekt:
    """A server's environment, and the process when it runs."""

    environ: dict[str, str]
    port: int
    log: Path
    words: tuple[str, ...] = ("serve",)
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)
    broker: Broker | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sends(self) -> bool:
        """Whether a worker is in it."""
        return "--no-worker" not in self.words

    async def start(self) -> None:
        """Start it; a server is waited for until it can store, a worker answers nobody."""
        with self.log.open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "zekt_bot",
                *self.words,
                env=self.environ,
                stdout=asyncio.subprocess.DEVNULL,  # the setup's link, which is no line of the log
                stderr=out,
            )
        if self.words[0] == "serve":
            try:
                await self._ready(self.process)
            except BaseException:
                self.process.kill()  # nobody else would end what never became ready
                raise

    async def _ready(self, process: asyncio.subprocess.Process) -> None:
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
            while True:
                assert process.returncode is None, self.log.read_text()
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{self.url}/readyz") as ready:
                        if ready.status == 200:
                            return
                await asyncio.sleep(0.02)

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; gives the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(how)
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    async def command(self, *words: str) -> str:
        """Run `zekt WORDS` beside the server; gives what it printed."""
        ended = await zekt(*words, **self.environ)
        assert ended.code == 0, f"zekt {' '.join(words)}: {ended.err}"
        return ended.out

    async def deliveries(self) -> list[dict[str, Any]]:
        """The deliveries, newest first, read beside the server."""
        assert self.broker is not None
        return await list_deliveries(self.broker, ME, Page(limit=1000))

    async def events(self) -> list[dict[str, Any]]:
        """The events, newest first, read beside the server."""
        assert self.broker is not None
        return await list_events(self.broker, ME, Page(limit=1000))

    async def until_deliveries(
        self, done: Callable[[list[dict[str, Any]]], bool]
    ) -> list[dict[str, Any]]:
        """The deliveries, once they are as wanted."""
        async with asyncio.timeout(PATIENCE):
            while not done(listed := await self.deliveries()):
                await asyncio.sleep(0.05)
        return listed


@dataclass
class Stage:
    """GitHub with a provider and a consumer, and the server between them."""

    github: GitHubSimulator
    app: App
    provider: Repository
    consumer: Repository
    zekt: Zekt


@asynccontextmanager
async def stage(
    database_url: str, folder: Path, *options: str, **settings: str
) -> AsyncIterator[Stage]:
    """Everything up, `aurora-labs/release` published and approved for the consumer.

    `options` are those of `zekt serve`.
    """
    async with kept_port() as port, GitHubSimulator() as github:
        app = github.app(
            "zekt-orchestrator-app",
            hook_url=f"http://127.0.0.1:{port}/webhooks/github",
            webhook_secret=SECRET,
        )
        aurora, kestrel = github.account("aurora-labs"), github.account("kestrel-bank")
        provider = github.repository(aurora, "payments-api", private=True)
        consumer = github.repository(kestrel, "core-sync", private=True)
        github.add_workflow(provider, RELEASE, "Release")
        github.add_workflow(
            consumer, DEPLOY, on_dispatch_types=["zekt-workflow-completed"], finishes="success"
        )
        server = Zekt(
            {
                **environ_of(database_url, github, app),
                "PORT": str(port),
                "ZEKT_PUBLIC_URL": f"http://127.0.0.1:{port}",
                **settings,
            },
            port,
            folder / "log",
            ("serve", *options),
        )
        if database_url.startswith("postgres"):
            await server.command("migrate")
        # What nobody tells is to stay unknown: the comparison at the start finds no list.
        github.fail("GET", "/app/installations", status=502)
        await server.start()
        try:
            await github.install(app, aurora)
            await github.install(app, kestrel)
            async with open_broker(config.load(server.environ)) as server.broker:
                await _publish(server.broker)
                yield Stage(github, app, provider, consumer, server)
        finally:
            await server.end()


def environ_of(database_url: str, github: GitHubSimulator, app: App) -> dict[str, str]:
    """The environment of a server of this App."""
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "PYTHONWARNINGS": "error::ResourceWarning",
        "DATABASE_URL": database_url,
        "ZEKT_HOST": "127.0.0.1",
        "ZEKT_SECRET_KEY": "a key of the tests that is long enough",
        "ZEKT_GITHUB_URL": github.web_url,
        "ZEKT_GITHUB_API_URL": github.api_url,
        "ZEKT_ORCHESTRATOR_APP_ID": str(app.app_id),
        "ZEKT_ORCHESTRATOR_PRIVATE_KEY": app.private_key,
        "ZEKT_ORCHESTRATOR_WEBHOOK_SECRET": app.webhook_secret,
        "ZEKT_JOB_GRACE": "0.2",
        "LOG_FORMAT": "json",
    }


async def _publish(broker: Broker) -> None:
    provider, service = "aurora-labs/payments-api", "aurora-labs/release"
    await repositories.enable(broker, ME, provider)
    await workflows.allow(broker, ME, provider, RELEASE)
    await services.publish(broker, ME, provider, services.Publication(RELEASE, "release"))
    ends = Ends(service, "kestrel-bank/core-sync")
    await subscriptions.request(broker, ME, ends)
    await subscriptions.approve(broker, ME, ends)
