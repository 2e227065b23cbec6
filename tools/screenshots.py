"""Makes the pictures of the pages in docs/images, in a real Chromium.

Usage: python -m tools.screenshots CHROMIUM, where CHROMIUM is its path.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.async_api import async_playwright

from tests.browser.conftest import QUIET
from tests.browser.walking import set_up
from zekt_bot.cli.demo.console import open_door
from zekt_bot.domain.access import Operator
from zekt_bot.operations import badges
from zekt_bot.operations.installations import look
from zekt_bot.operations.repositories import enable, take_part

if TYPE_CHECKING:
    from playwright.async_api import Page

    from zekt_bot.cli.demo.console import Door
    from zekt_bot.operations.repositories import Part

_ME = Operator("cli:screenshots")
IMAGES = Path(__file__).parents[1] / "docs" / "images"


async def main(chromium: str) -> None:
    """Walk the demo's setup, and look at each page."""
    IMAGES.mkdir(exist_ok=True)
    async with open_door() as door, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=QUIET)
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        page = await context.new_page()
        await set_up(page, door)
        await _look(page, "setup", f"{door.url}/setup/check")
        await _furnish(door)
        await _look(page, "repositories", f"{door.url}/repositories")
        await _look(page, "consent", f"{door.url}/consent")
        stranger = await browser.new_page(viewport={"width": 1280, "height": 800})
        await _look(stranger, "sign-in", f"{door.url}/login")
        await browser.close()


async def _furnish(door: Door) -> None:
    """Some months later: several accounts, and one of them has suspended Zekt."""
    github, aurora, kestrel = door.github, door.provider.owner, door.consumer.owner
    harbor = github.account("harbor-retail")
    harbor.members = {door.person.id: "owner"}
    names = {aurora: ("design-tokens", "docs-site", "infra-live"), harbor: ("storefront",)}
    for owner, each in names.items():
        for name in each:
            github.repository(owner, name, private=name != "docs-site")
    apps = [one for one in github.core.world.apps.values() if one.setup_url]
    made = [await github.install(app, owner) for owner in (harbor, kestrel) for app in apps]
    held = await door.broker.credentials.get("orchestrator")
    orchestrating = next(one for one in made if str(one.app.app_id) == held.app_id)
    parts: dict[str, list[Part]] = {
        door.provider.full_name: ["provider"],
        "aurora-labs/infra-live": ["provider", "consumer"],
        "aurora-labs/docs-site": [],
        "aurora-labs/design-tokens": [],
        door.consumer.full_name: ["consumer"],
        "harbor-retail/storefront": ["consumer"],
    }
    for full_name, chosen in parts.items():
        await enable(door.broker, _ME, full_name)
        await take_part(door.broker, _ME, full_name, chosen)
    await github.suspend(orchestrating)
    await look(door.broker, orchestrating.id, [], "github:installation:confirmed")
    aurora.verified = True
    await badges.look(door.broker)


async def _look(page: Page, name: str, address: str) -> None:
    await page.goto(address)
    await page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
