"""A server that nobody has set up yet, before a simulated GitHub."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientSession

from tests.db.rows import KEY
from tests.testing.browser import Browser
from zekt_bot.app import open_broker
from zekt_bot.config import Settings
from zekt_bot.domain.access import Operator, Person
from zekt_bot.operations import setup, setup_apps
from zekt_bot.operations.setup_apps import Draft
from zekt_bot.testing import GitHubSimulator, ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.config import App
    from zekt_bot.operations.broker import Broker

ME = Operator("cli:me@here")
MONA = Person(583231, "mona")
BROWSER, OTHER_BROWSER = "the browser's secret", "another browser's secret"
NAMES: dict[App, str] = {"oauth": "Zekt sign-in", "orchestrator": "Zekt of Aurora"}


@dataclass
class Scene:
    """The broker, GitHub, and a browser at GitHub."""

    url: str
    github: GitHubSimulator
    clock: ManualClock
    broker: Broker
    browser: Browser

    async def sent(self, app: App) -> tuple[str, str]:
        """Begin an App and confirm it at GitHub: the (code, state) that come back."""
        return await self.sent_again(app, NAMES[app])

    async def sent_again(self, app: App, name: str = "Another Zekt") -> tuple[str, str]:
        """The same, under another name."""
        handed = await setup_apps.begin(self.broker, ME, app, Draft(name), BROWSER)
        path = handed.action.removeprefix(self.github.web_url)
        status, page = await self.browser.post(path, manifest=handed.manifest)
        assert status == 200, page
        (action,) = re.findall(r'action="([^"]+)"', page)
        status, where = await self.browser.post(str(action), name=name)
        assert status == 302, where
        query = parse_qs(urlsplit(where).query)
        return query["code"][0], query["state"][0]

    async def make(self, app: App) -> None:
        """Make an App, to the end."""
        await setup_apps.created(self.broker, ME, app, await self.sent(app), BROWSER)
        self.clock.advance(timedelta(seconds=5))

    async def until_operator(self) -> None:
        """Do what comes before the accounts."""
        await self.make("oauth")
        await self.make("orchestrator")
        await setup.become_operator(self.broker, ME, MONA)

    @asynccontextmanager
    async def another(self, **settings: Any) -> AsyncIterator[Broker]:
        """Another process on the same database."""
        changed = replace(self.broker.settings, **settings)
        async with open_broker(changed, self.clock) as broker:
            yield broker


@asynccontextmanager
async def open_scene(
    url: str, clock: ManualClock, api_prefix: str = "", **settings: Any
) -> AsyncIterator[Scene]:
    """`api_prefix`: as on a GitHub Enterprise Server."""
    async with (
        GitHubSimulator(clock, api_prefix=api_prefix) as github,
        ClientSession() as session,
    ):
        made = Settings(
            database_url=url,
            secret_keys=(KEY,),
            public_url="https://zekt.example",
            github_url=github.web_url,
            github_api_url=github.api_url,
        )
        async with open_broker(replace(made, **settings), clock) as broker:
            yield Scene(url, github, clock, broker, Browser(github, session))


@pytest.fixture
async def scene(migrated_url: str, clock: ManualClock) -> AsyncIterator[Scene]:
    """Nothing is done yet; once on each database."""
    async with open_scene(migrated_url, clock) as opened:
        yield opened
