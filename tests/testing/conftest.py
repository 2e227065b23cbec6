"""A simulated GitHub with one organization, two repositories and an App installed on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientSession, web

from tests.testing.client import Client, Receiver
from zekt_bot.testing import (
    Account,
    App,
    GitHubSimulator,
    Installation,
    ManualClock,
    Repository,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Scene:
    """What most tests begin with."""

    github: GitHubSimulator
    client: Client
    receiver: Receiver
    org: Account
    api: Repository
    """Private."""
    docs: Repository
    """Public."""
    app: App
    installation: Installation


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def github(clock: ManualClock) -> AsyncIterator[GitHubSimulator]:
    async with GitHubSimulator(clock) as simulator:
        yield simulator


@pytest.fixture
async def client(github: GitHubSimulator) -> AsyncIterator[Client]:
    async with ClientSession() as session:
        yield Client(github, session)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=26_214_400)
    app.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def scene(github: GitHubSimulator, client: Client, receiver: Receiver) -> Scene:
    org = github.account("aurora-labs")
    api = github.repository(org, "payments-api", private=True)
    docs = github.repository(org, "docs")
    app = github.app("zekt-orchestrator-app", hook_url=receiver.url)
    installation = await github.install(app, org)
    receiver.hooks.clear()
    return Scene(github, client, receiver, org, api, docs, app, installation)
