"""The composition root: the only file that knows every other. It reads like a table of contents."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import aiohttp

from zekt_bot import plugins
from zekt_bot.clock import SystemClock
from zekt_bot.db.credentials import CredentialStore
from zekt_bot.db.database import open_database
from zekt_bot.github.client import GitHub
from zekt_bot.operations.broker import Broker
from zekt_bot.operations.faults import faults_kept
from zekt_bot.operations.roles import Roles
from zekt_bot.pipeline.store import store
from zekt_bot.web.server import WebDeps, running
from zekt_bot.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.clock import Clock
    from zekt_bot.config import Settings


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
    async with (
        open_database(settings, clock, alone=server) as database,
        aiohttp.ClientSession() as session,
    ):
        credentials = CredentialStore(settings, database, clock)
        github = GitHub(settings, credentials, clock, session)
        database.on_audited(loaded.heard_audit)
        roles = Roles(github, clock)
        broker = Broker(settings, clock, database, credentials, github, loaded, roles)
        try:
            async with faults_kept(broker) if server else nullcontext():
                yield broker
        finally:
            await loaded.close(settings.shutdown_timeout)


@asynccontextmanager
async def serving(broker: Broker) -> AsyncIterator[int]:
    """Answer HTTP on the settings' host and port; gives the bound port."""
    deps = WebDeps(
        settings=broker.settings,
        credentials=broker.credentials,
        store=partial(store, broker),
        ready=broker.database.check,
        clock=broker.clock,
    )
    async with running(deps) as port:
        yield port


@asynccontextmanager
async def working(broker: Broker) -> AsyncIterator[Worker]:
    """Run a worker; on leaving it is stopped, and what is in flight ends first."""
    worker = Worker(broker)
    task = asyncio.create_task(worker.run(), name="zekt-worker")
    try:
        yield worker
    finally:
        worker.stop()
        await task
