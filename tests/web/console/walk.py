"""A browser on its way through the setup's pages."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from typing import TYPE_CHECKING, Any

from tests.operations.setting_up import ME, Scene, open_scene
from tests.testing.walker import Walker
from tests.web.console.browsing import Browser, Seen
from zekt_bot.app import serving
from zekt_bot.operations import setup
from zekt_bot.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ORIGIN = "https://zekt.example"
_HANDOVER = re.compile(
    r'action="(http[^"]+)">\s*<input type="hidden" name="manifest" value="([^"]+)"'
)


@dataclass
class Walk:
    """A browser at a server that nobody has set up."""

    scene: Scene
    browser: Browser
    base: str

    def another(self) -> Browser:
        """A browser of somebody else."""
        return Browser(self.base, ORIGIN)

    async def enter(self) -> None:
        """Open the link and begin."""
        path = await self.link()
        page = await self.browser.get(path)
        assert page.status == 200
        assert (
            await self.browser.send(page, "/setup/enter", token=path.split("=")[1])
        ).status == 303

    async def link(self) -> str:
        return (await setup.new_link(self.scene.broker, ME)).removeprefix(ORIGIN)

    async def to_github(self, app: str, name: str, **fields: str) -> str:
        """Fill the form in, confirm at GitHub, and give the address where that leads."""
        form = await self.browser.get(f"/setup/{app}")
        page = await self.browser.send(form, f"/setup/{app}", name=name, **fields)
        assert page.status == 200, page.words
        found = _HANDOVER.search(page.text)
        assert found, page.text
        assert (
            f"form-action 'self' {self.scene.github.web_url}"
            in (page.headers["Content-Security-Policy"])
        )
        action, manifest = map(unescape, found.groups())
        path = action.removeprefix(self.scene.github.web_url)
        _, there = await self.scene.browser.post(path, manifest=manifest)
        (confirm,) = re.findall(r'action="([^"]+)"', there)
        status, where = await self.scene.browser.post(str(confirm), name=name)
        assert status == 302, where
        return where.removeprefix(ORIGIN)

    async def sign_in(self, login: str) -> Seen:
        """Sign in from the setup's page; gives what the browser is answered when it is back."""
        if self.scene.github.core.world.account(login) is None:
            self.scene.github.account(login, "User")
        door = await self.browser.get("/login?next=/setup/operator")
        sent = await self.browser.send(door, "/login", next="/setup/operator")
        async with Walker(self.scene.github.web_url) as walker:
            away = await walker.through(await walker.open(sent.onward), login)
        return await self.browser.get(away.removeprefix(ORIGIN))

    async def make(self, app: str, name: str) -> Seen:
        page = await self.browser.get(await self.to_github(app, name))
        self.scene.clock.advance(timedelta(seconds=5))
        return page


@asynccontextmanager
async def walking(url: str, **settings: Any) -> AsyncIterator[Walk]:
    async with (
        open_scene(url, ManualClock(), host="127.0.0.1", port=0, **settings) as scene,
        serving(scene.broker) as port,
    ):
        base = f"http://127.0.0.1:{port}"
        scene.github.lead(scene.broker.settings.public_url, base)
        yield Walk(scene, Browser(base, settings.get("public_url", ORIGIN)), base)
