"""A real console: server, database and the simulated GitHub, where people sign in."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.stage import settings_of
from tests.testing.walker import Walker
from tests.web.console.browsing import ORIGIN, Browser, Seen
from zekt_bot.app import open_broker, serving
from zekt_bot.config import AppCredentials
from zekt_bot.testing import GitHubSimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.operations.broker import Broker
    from zekt_bot.testing import Account, App, ManualClock

CALLBACK = f"{ORIGIN}/auth/github/callback"


@dataclass
class Console:
    """The server's parts, and `maja`, who has an account at GitHub."""

    broker: Broker
    github: GitHubSimulator
    clock: ManualClock
    orchestrator: App
    oauth: App
    maja: Account
    base: str

    def browser(self) -> Browser:
        """A browser that was never here."""
        return Browser(self.base)

    async def at_github(self, url: str, login: str = "maja-lind", decision: str = "1") -> str:
        """Do as GitHub's pages say, in a browser of its own; gives the path that leads back."""
        async with Walker(self.github.web_url) as walker:
            away = await walker.through(await walker.open(url), login, decision)
        parts = urlsplit(away)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == CALLBACK
        return f"{parts.path}?{parts.query}"

    async def go(self, browser: Browser, path: str = "/login") -> str:
        """Press the button at the door; gives the address at GitHub."""
        door = await browser.get(path)
        sent = await browser.send(door, "/login", next=field(door, "next"))
        assert sent.status == 200
        return sent.onward

    async def sign_in(
        self, browser: Browser, login: str = "maja-lind", path: str = "/login"
    ) -> Seen:
        """All the way; gives what the browser is answered when it comes back."""
        return await browser.get(await self.at_github(await self.go(browser, path), login))


def field(page: Seen, name: str) -> str:
    """The value of a hidden field of the page."""
    return page.text.split(f'name="{name}" value="', 1)[1].split('"', 1)[0]


@asynccontextmanager
async def open_console(
    url: str, clock: ManualClock, *, classic: bool = False, **settings: Any
) -> AsyncIterator[Console]:
    """A console whose OAuth app is known to GitHub; `classic`: as a classic OAuth App."""
    async with GitHubSimulator(clock) as github:
        orchestrator = github.app("zekt-orchestrator-app")
        oauth = github.app(
            "zekt-sign-in", permissions={"metadata": "read"}, events=(), callback_urls=[CALLBACK]
        )
        oauth.is_classic = classic
        maja = github.account("maja-lind", "User")
        held = AppCredentials(
            app_id=None if classic else str(oauth.app_id),
            private_key=None if classic else oauth.private_key,
            webhook_secrets=(oauth.webhook_secret.encode(),),
            version="1",
            client_id=oauth.client_id,
            client_secret=oauth.client_secret,
        )
        told = {"host": "127.0.0.1", "port": 0, "oauth": held, **settings}
        made = settings_of(url, github, orchestrator, **told)
        async with open_broker(made, clock) as broker, serving(broker) as port:
            base = f"http://127.0.0.1:{port}"
            oauth.hook_url = f"{base}/webhooks/github/oauth"
            yield Console(broker, github, clock, orchestrator, oauth, maja, base)
