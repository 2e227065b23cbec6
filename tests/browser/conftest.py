"""A real Chromium, without a window."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import async_playwright

from zekt_bot.cli.demo.console import open_door

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from zekt_bot.cli.demo.console import Door

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",  # as root it does not start with one
)


@pytest.fixture
def chromium() -> str:
    """The path of a Chromium. Where there is none the test is left out, in CI it fails."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        missing = "There is no Chromium on the PATH: install Debian's package chromium."
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """A browser that was never anywhere."""
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield opened
        await opened.close()


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """A server that nobody has set up, at a simulated GitHub."""
    async with open_door() as opened:
        yield opened
