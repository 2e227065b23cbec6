"""The composition root: the only file that knows every other. It reads like a table of contents.

What only a server needs is imported by what only a server calls: a command need not wait for it.
"""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import aiohttp

from zekt_bot import logs, plugins
from zekt_bot.clock import Shutdown, SystemClock
from zekt_bot.db.credentials import CredentialStore
from zekt_bot.db.database import open_database
from zekt_bot.domain.access import Operator
from zekt_bot.github.app_pages import AppPages
from zekt_bot.github.client import GitHub
from zekt_bot.github.oauth import OAuth
from zekt_bot.github.oidc import RunTokens
from zekt_bot.operations.broker import Broker, Vitals
from zekt_bot.operations.faults import faults_kept
from zekt_bot.operations.roles import Roles
from zekt_bot.tracing import open_traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.clock import Clock
    from zekt_bot.config import Settings
    from zekt_bot.domain.figures import Figures
    from zekt_bot.worker import Worker


@asynccontextmanager
async def open_broker(
    settings: Settings,
    clock: Clock | None = None,
    *,
    server: bool = False,
    loaded: plugins.Plugins | None = None,
) -> AsyncIterator[Broker]:
    """Every part that a step or an operation needs, opened and closed together.

    `server`: as a long-lived process, which has an SQLite file for itself. `loaded`: other plugins
    than those that the settings name.

    Raises:
        ConfigurationError: a setting is missing or wrong.
        PluginRejected: a plugin cannot be loaded.
        StorageUnavailable: the database cannot be reached.
    """
    clock = clock or SystemClock()
    loaded = loaded or plugins.load(
        settings.plugins_dir, settings.disabled_plugins, settings.channel_allowed_nets
    )
    vitals, traces = Vitals(), open_traces(wanted=settings.traces)
    shutdown = Shutdown(settings.shutdown_timeout)
    async with (
        open_database(settings, clock, alone=server) as database,
        _session(vitals.figures) as session,
    ):
        credentials = CredentialStore(settings, database, clock)
        github = GitHub(settings, credentials, clock, session)
        database.on_audited(loaded.heard_audit)
        roles = Roles(github, clock)
        oauth = OAuth(settings, credentials, clock, session)
        broker = Broker(
            settings=settings,
            clock=clock,
            database=database,
            credentials=credentials,
            github=github,
            plugins=loaded,
            roles=roles,
            app_pages=AppPages(github, credentials, clock),
            oauth=oauth,
            run_tokens=RunTokens(settings, clock, session),
            shutdown=shutdown,
            vitals=vitals,
            traces=traces,
        )
        try:
            async with faults_kept(broker) if server else nullcontext():
                yield broker
        finally:
            await broker.under_way.ended(shutdown.left())
            await loaded.close(shutdown.left())
            await asyncio.to_thread(traces.close, shutdown.left())


def _session(figures: Figures) -> aiohttp.ClientSession:
    """For requests to GitHub; who makes them bounds how many there are at once.

    One that waited for a connection would spend its own time on waiting.
    """
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), middlewares=(_watching(figures),)
    )


def _watching(figures: Figures) -> aiohttp.ClientMiddlewareType:
    """Note how many requests GitHub still allows, at each of its answers.

    Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """

    async def watch(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        response = await handler(request)
        left = response.headers.get("X-RateLimit-Remaining", "")
        if left.isdecimal() and len(left) < 10:
            figures.limit_left.observe(float(left))
        return response

    return watch


def settle() -> None:
    """What the start made stays: neither loggers nor the collector look at it again and again.

    Under load the collector would take a tenth of the CPU. Called once, when a long-lived process
    is ready.
    """
    logs.settle()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@asynccontextmanager
async def serving(broker: Broker) -> AsyncIterator[int]:
    """Answer HTTP on the settings' host and port; gives the bound port."""
    from zekt_bot.operations import sessions
    from zekt_bot.operations.status import status
    from zekt_bot.pipeline.store import store
    from zekt_bot.web.server import WebDeps, running

    deps = WebDeps(
        settings=broker.settings,
        credentials=broker.credentials,
        store=partial(store, broker),
        ready=broker.database.check,
        clock=broker.clock,
        figures=broker.vitals.figures,
        status=partial(status, broker, Operator("http")),
        withdrawn=partial(sessions.withdrawn, broker),
        broker=broker,
    )
    async with running(deps, broker.shutdown) as port:
        yield port


@asynccontextmanager
async def working(broker: Broker) -> AsyncIterator[Worker]:
    """Run a worker; on leaving it is stopped, and what is in flight ends first."""
    from zekt_bot.worker import Worker

    worker = Worker(broker)
    task = asyncio.create_task(worker.run(), name="zekt-worker")
    try:
        yield worker
    finally:
        worker.stop()
        await task
