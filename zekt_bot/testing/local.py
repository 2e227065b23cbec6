"""A whole Zekt for the test of a plugin: server, worker, SQLite, a simulated GitHub."""

from __future__ import annotations

import asyncio
import inspect
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from zekt_bot import plugins
from zekt_bot.app import open_broker, serving, working
from zekt_bot.config import AppCredentials, Settings
from zekt_bot.domain.access import Operator, WorkflowRun
from zekt_bot.domain.catalog import ANY_TYPE, Profile
from zekt_bot.domain.deliveries import DispatchRequest
from zekt_bot.domain.events import RunKey
from zekt_bot.operations import messages, repositories, services, subscriptions, workflows
from zekt_bot.operations.deliveries import list_deliveries
from zekt_bot.operations.events import list_events
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

    from zekt_bot.domain.deliveries import Outcome
    from zekt_bot.operations.broker import Broker
    from zekt_bot.testing.dispatches import Dispatch
    from zekt_bot.testing.github import GitHubSimulator
    from zekt_bot.testing.model import App, Repository
    from zekt_bot.testing.runs import WorkflowRun as SimulatedRun

    Row = dict[str, Any]

WORKFLOW = ".github/workflows/release.yml"
SERVICE = "aurora-labs/release"
AT_REST = frozenset({"dispatched", "confirmed", "completed", "failed", "blocked", "dead"})
_ME = Operator("cli:tests@localhost")
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass
class LocalZekt:
    """Zekt at work: `provider` publishes its release workflow, `consumer` is approved for it.

    All that waits gives up after `patience` seconds with a TimeoutError.
    """

    github: GitHubSimulator
    app: App
    broker: Broker
    provider: Repository
    consumer: Repository
    patience: float = 60.0

    async def finish_run(
        self, *jobs: str, conclusion: str = "success", message: Any = None, **options: Any
    ) -> SimulatedRun:
        """Let the provider's release workflow run with these jobs and end.

        `message` (JSON, event type `message`) is what the run says to its consumers; `options` are
        `zekt_bot.testing.runs.RunOptions`, such as `head_branch` or `event`.
        """
        run = await self.github.start_run(self.provider, WORKFLOW, **options)
        if message is not None:
            key = RunKey(self.provider.id, run.id, run.attempt)
            body = json.dumps(message).encode()
            await messages.store(self.broker, WorkflowRun(key, WORKFLOW), "message", body)
        for name in jobs:
            await run.start_job(name)
        await run.complete(conclusion)
        return run

    async def event(self, run: SimulatedRun) -> Row:
        """What Zekt made of a finished run; its `blocked_reason` is None or why it went nowhere."""

        async def done() -> list[Row]:
            rows = await list_events(self.broker, _ME)
            return [row for row in rows if row["run_id"] == run.id and row["state"] == "done"]

        rows: list[Row] = await self.until(done)
        return rows[0]

    async def deliveries(self, run: SimulatedRun) -> list[Row]:
        """A run's deliveries, once each is at rest: `state`, `blocked_reason`, `reason` …"""
        event = await self.event(run)

        async def at_rest() -> list[Row]:
            rows = await list_deliveries(self.broker, _ME)
            own = [row for row in rows if row["correlation_id"] == event["correlation_id"]]
            return own if all(row["state"] in AT_REST for row in own) else []

        rows: list[Row] = await self.until(at_rest)
        return rows

    async def dispatches(self, count: int = 1) -> list[Dispatch]:
        """What GitHub was asked to dispatch, once it is so many; see `client_payload`."""
        return await self.github.wait_for_dispatches(count, timeout=self.patience)

    async def send(self, channel: str, settings: Mapping[str, str], body: bytes = b"{}") -> Outcome:
        """Let a channel take these settings and send once, as for a delivery to the consumer.

        Raises:
            InvalidInput: the channel's `check` refuses the settings.
        """
        await self.broker.plugins.check_channel(channel, settings)
        (installation,) = (
            one for one in self.github.core.world.live_installations() if one.covers(self.consumer)
        )
        request = DispatchRequest(
            delivery_id="dlv_00000000000000000000000000",
            event_type="message",
            body=body,
            repository_id=self.consumer.id,
            repository=self.consumer.full_name,
            installation_id=installation.id,
            attempt=1,
            settings=settings,
        )
        client = self.broker.github.installation_api(installation.id, self.consumer.id)
        within = timedelta(seconds=self.patience)
        return await self.broker.plugins.send(channel, request, client, within)

    async def until(self, look: Callable[[], Any]) -> Any:
        """What `look` (a function or a coroutine function) gives, once that is true."""
        async with asyncio.timeout(self.patience):
            while True:
                found = look()
                if inspect.isawaitable(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.02)


@asynccontextmanager
async def open_local(
    github: GitHubSimulator, folder: Path, authored: Sequence[ModuleType]
) -> AsyncIterator[LocalZekt]:
    """Zekt with these plugins beside the built-ins and the installed ones; all in `folder`."""
    app = github.app("zekt-orchestrator-app")
    aurora, kestrel = github.account("aurora-labs"), github.account("kestrel-bank")
    provider = github.repository(aurora, "payments-api", private=True)
    consumer = github.repository(kestrel, "core-sync", private=True)
    github.add_workflow(provider, WORKFLOW, "Release")
    github.add_workflow(consumer, "deploy.yml", on_dispatch_types=["*"], finishes="success")
    settings = _settings(github, app, folder)
    loaded = plugins.load(allowed=_LOOPBACK, more={one.__name__: one for one in authored})
    async with (
        open_broker(settings, server=True, loaded=loaded) as broker,
        working(broker),
        serving(broker) as port,
    ):
        app.hook_url = f"http://127.0.0.1:{port}/webhooks/github"
        for owner in (aurora, kestrel):
            await github.install(app, owner)
        await _agree(broker, provider, consumer)
        yield LocalZekt(github, app, broker, provider, consumer)


def _settings(github: GitHubSimulator, app: App, folder: Path) -> Settings:
    secret = app.webhook_secret.encode()
    return Settings(
        host="127.0.0.1",
        port=0,
        database_url=f"sqlite:///{folder / 'zekt.db'}",
        secret_keys=("a key that only tests have",),
        github_url=github.web_url,
        github_api_url=github.api_url,
        orchestrator=AppCredentials(str(app.app_id), app.private_key, (secret,), "1"),
        job_grace=timedelta(seconds=0.2),
        lane_per_minute=0,
    )


async def _agree(broker: Broker, provider: Repository, consumer: Repository) -> None:
    name = provider.full_name
    await repositories.enable(broker, _ME, name)
    await workflows.allow(broker, _ME, name, WORKFLOW)
    profile = Profile(event_types=(ANY_TYPE,))
    await services.publish(broker, _ME, name, services.Publication(WORKFLOW, "release", profile))
    ends = Ends(SERVICE, consumer.full_name)
    await subscriptions.request(broker, _ME, ends)
    await subscriptions.approve(broker, _ME, ends)
