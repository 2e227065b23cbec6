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
from tests.browser.walking import press, set_up
from zekt_bot.cli.demo.console import open_door

if TYPE_CHECKING:
    from playwright.async_api import Page

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
        await page.goto(f"{door.url}/repositories")
        row = page.get_by_role("row").filter(has_text=door.provider.name)
        await row.get_by_role("link", name="Enable").click()
        await press(page, f"Enable {door.provider.name}")
        await _look(page, "repositories", f"{door.url}/repositories")
        stranger = await browser.new_page(viewport={"width": 1280, "height": 800})
        await _look(stranger, "sign-in", f"{door.url}/login")
        await browser.close()


async def _look(page: Page, name: str, address: str) -> None:
    await page.goto(address)
    await page.screenshot(path=IMAGES / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
