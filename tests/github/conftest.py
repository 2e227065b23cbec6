from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from tests.github.server import FakeGitHub, FixedCredentials, TestClock
from zekt_bot.config import AppCredentials, Settings
from zekt_bot.github.client import GitHub
from zekt_bot.testing.world import private_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def fake(clock: TestClock) -> FakeGitHub:
    return FakeGitHub(clock)


@pytest.fixture
async def settings(fake: FakeGitHub) -> AsyncIterator[Settings]:
    async with TestServer(fake.app) as server:
        yield Settings(github_api_url=str(server.make_url("/")).rstrip("/"))


@pytest.fixture
def credentials() -> FixedCredentials:
    return FixedCredentials(AppCredentials(app_id="12", private_key=private_key(0), version="1"))


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def github(
    settings: Settings,
    credentials: FixedCredentials,
    clock: TestClock,
    session: aiohttp.ClientSession,
) -> GitHub:
    return GitHub(settings, credentials, clock, session)
