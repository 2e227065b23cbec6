"""A real broker between a simulated GitHub and a database, without web server and worker.

Import `clock` and `stage` into a `conftest.py`; the test then runs once on each database:

    await stage.serve()                        # enable, allow, publish, subscribe, approve
    run = await stage.finish_run()             # GitHub's webhooks are held, in order
    await stage.take()                         # verify and store them
    await stage.route(), stage.aggregate(), stage.match(), stage.deliver()   # or: stage.flow()

Each step claims what is due now, as the worker does, and does one page. Time stands still until
`stage.clock.advance`. `stage.rows(table)` is what is stored. `stage.post(run)` stores a message.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from multidict import CIMultiDict

from tests.db.rows import KEY, leased, stored
from zekt_bot.app import open_broker
from zekt_bot.config import AppCredentials, Settings
from zekt_bot.db import inbox, lanes, leases, outgoing
from zekt_bot.db.kept import KeptFacts
from zekt_bot.domain.access import Operator
from zekt_bot.domain.access import WorkflowRun as Principal
from zekt_bot.domain.catalog import Profile
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.lanes import Pace
from zekt_bot.operations import messages, repositories, services, subscriptions, workflows
from zekt_bot.operations.broker import new_lease
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.pipeline import aggregate, deliver, match, route, store, verify
from zekt_bot.testing import GitHubSimulator, ManualClock, webhook_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sqlalchemy import Table

    from zekt_bot.db.outgoing import Work
    from zekt_bot.domain.catalog import Service
    from zekt_bot.domain.deliveries import Outcome
    from zekt_bot.domain.subscriptions import Subscription
    from zekt_bot.domain.webhooks import Receipt, WebhookApp
    from zekt_bot.operations.broker import Broker
    from zekt_bot.testing import App, Installation, Repository, WebhookDelivery, WorkflowRun

ME = Operator("cli:me@here")
RELEASE = ".github/workflows/release.yml"
SERVICE = "aurora-labs/release"
PACE = Pace(per_minute=0, burst=50, in_flight=50)
LEASE = timedelta(seconds=60)


@dataclass
class Stage:
    """A provider and a consumer who installed the App; nothing is enabled yet."""

    github: GitHubSimulator
    app: App
    clock: ManualClock
    broker: Broker
    provider: Repository
    consumer: Repository
    providing: Installation
    consuming: Installation
    held: list[WebhookDelivery]
    pace: Pace = PACE
    kept: KeptFacts = field(default_factory=KeptFacts)
    router: Any = field(default_factory=route.build_router)

    async def publish(self, *event_types: str) -> Service:
        """Enable the provider, allow its release workflow and publish it as `release`."""
        name = self.provider.full_name
        await repositories.enable(self.broker, ME, name)
        await workflows.allow(self.broker, ME, name, RELEASE)
        profile = Profile(event_types=event_types) if event_types else Profile()
        wanted = services.Publication(RELEASE, "release", profile)
        return await services.publish(self.broker, ME, name, wanted)

    async def subscribe(
        self, consumer: Repository | None = None, *, approve: bool = True
    ) -> Subscription:
        """Request the service for a consumer, and approve it."""
        ends = Ends(SERVICE, (consumer or self.consumer).full_name)
        held = await subscriptions.request(self.broker, ME, ends)
        return await subscriptions.approve(self.broker, ME, ends) if approve else held

    async def serve(self, *event_types: str) -> Subscription:
        """Publish and subscribe."""
        await self.publish(*event_types)
        return await self.subscribe()

    async def finish_run(self, *jobs: str, **options: Any) -> WorkflowRun:
        """A finished run of the release workflow with these jobs; `options` are `RunOptions`."""
        run = await self.github.start_run(self.provider, RELEASE, **options)
        for job in jobs:
            await run.start_job(job)
        await run.complete()
        return run

    async def take(self, event: str | None = None) -> list[Receipt]:
        """Store what GitHub sent since the last time (only `event`, the rest is lost)."""
        sent, self.held[:] = list(self.held), []
        return [await self.receive(one) for one in sent if event in {None, one.event}]

    async def receive(self, sent: WebhookDelivery, app: WebhookApp = "orchestrator") -> Receipt:
        """Verify and store one webhook."""
        return await self._store(app, sent.body, sent.headers)

    async def tell(
        self, event: str, body: Mapping[str, Any] | bytes, guid: str | None = None
    ) -> Receipt:
        """Verify and store a webhook with any body."""
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        return await self._store("orchestrator", raw, webhook_headers(self.app, event, raw, guid))

    async def _store(self, app: WebhookApp, body: bytes, headers: Mapping[str, str]) -> Receipt:
        secrets = (self.app.webhook_secret.encode(),)
        webhook = verify.read(app, secrets, CIMultiDict(headers), body)
        return await store.store(self.broker, webhook)

    async def claim(self, table: str) -> list[str]:
        """Lease a page of what is due in `inbox`, `runs` or `envelopes`."""
        now = self.clock.now()
        claim = leases.Claim(table, now, now + LEASE, new_lease(), 64)
        return await self.broker.database.write(leased, claim)

    async def works(self, limit: int = 64) -> list[Work]:
        """Lease deliveries that are due and read all that sending them needs."""
        now = self.clock.now()
        claim = lanes.LaneClaim(now, now + LEASE, new_lease(), limit, self.pace)
        ids = await self.broker.database.write(leased, claim)
        return await self.broker.database.query(outgoing.load, ids, self.kept) if ids else []

    async def route(self) -> int:
        """Route a page of the inbox, one row after the other; answers how many."""
        ids = sorted(await self.claim("inbox"))
        rows: list[Any] = [*await self.broker.database.query(inbox.load, ids)]
        for row in sorted(rows, key=lambda row: ids.index(row["id"])):
            await route.route(self.broker, self.router, row, LEASE)
        return len(rows)

    async def aggregate(self) -> dict[str, Exception]:
        """Aggregate a page of runs; answers those that failed."""
        ids = await self.claim("runs")
        return await aggregate.aggregate(self.broker, ids, self.pace, self.kept)

    async def match(self) -> dict[str, Exception]:
        """Match a page of envelopes; answers those that failed."""
        return await match.match(self.broker, await self.claim("envelopes"), self.pace, self.kept)

    async def deliver(self) -> list[Outcome | None]:
        """Send a page of deliveries."""
        return [await self.send(work) for work in await self.works()]

    async def send(self, work: Work) -> Outcome | None:
        """Send one leased delivery."""
        return await deliver.deliver(self.broker, work, self.clock.now() + LEASE)

    async def listen(self) -> None:
        """Store what GitHub sent and route the whole inbox."""
        await self.take()
        while await self.route():
            pass

    async def prepare(self) -> None:
        """Store and run all steps but the last, at this moment; no step may fail."""
        await self.listen()
        assert await self.aggregate() == {}
        assert await self.match() == {}

    async def flow(self) -> list[Outcome | None]:
        """Store and run every step once, at this moment."""
        await self.prepare()
        return await self.deliver()

    async def post(
        self, run: WorkflowRun, body: bytes = b"{}", event_type: str = "released"
    ) -> messages.Stored:
        """Store a message of this run's present attempt."""
        who = Principal(key_of(run), run.workflow.path)
        return await messages.store(self.broker, who, event_type, body)

    async def rows(self, table: Table) -> list[Mapping[str, Any]]:
        """All rows of a table, by primary key."""
        return await stored(self.broker.database, table)

    async def row(self, table: Table) -> Mapping[str, Any]:
        """The only row of a table."""
        (row,) = await self.rows(table)
        return row


@asynccontextmanager
async def open_stage(
    url: str, clock: ManualClock | None = None, **settings: Any
) -> AsyncIterator[Stage]:
    """Everything open, on a migrated database; `settings` as in `Settings`."""
    clock = clock or ManualClock()
    async with GitHubSimulator(clock) as github:
        app = github.app("zekt-orchestrator-app", hook_url="http://127.0.0.1:9/webhooks/github")
        aurora, kestrel = github.account("aurora-labs"), github.account("kestrel-bank")
        provider = github.repository(aurora, "payments-api", private=True)
        consumer = github.repository(kestrel, "core-sync", private=True)
        github.add_workflow(provider, RELEASE, "Release")
        with github.hold() as held:
            providing = await github.install(app, aurora)
            consuming = await github.install(app, kestrel)
            held.clear()
            async with open_broker(settings_of(url, github, app, **settings), clock) as broker:
                yield Stage(
                    github=github,
                    app=app,
                    clock=clock,
                    broker=broker,
                    provider=provider,
                    consumer=consumer,
                    providing=providing,
                    consuming=consuming,
                    held=held,
                )


def key_of(run: WorkflowRun) -> RunKey:
    """Zekt's key of a run's present attempt."""
    return RunKey(run.repository.id, run.id, run.attempt)


def settings_of(url: str, github: GitHubSimulator, app: App, **changed: Any) -> Settings:
    """Settings of a server of this App, on this database."""
    secret = app.webhook_secret.encode()
    settings = Settings(
        database_url=url,
        secret_keys=(KEY,),
        github_url=github.web_url,
        github_api_url=github.api_url,
        orchestrator=AppCredentials(str(app.app_id), app.private_key, (secret,), "1"),
    )
    return replace(settings, **changed)


@pytest.fixture
def clock() -> ManualClock:
    """Time that the test moves."""
    return ManualClock()


@pytest.fixture
async def stage(migrated_url: str, clock: ManualClock) -> AsyncIterator[Stage]:
    """A stage with the default settings; once on each database."""
    async with open_stage(migrated_url, clock) as opened:
        yield opened
