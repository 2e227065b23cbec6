"""From nothing to consent taken back, as a person walks it, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.db.rows import until
from zekt_bot.cli.demo.console import open_door
from zekt_bot.db import mirror

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, ConsoleMessage, Page

    from zekt_bot.cli.demo.console import Door
    from zekt_bot.testing import Installation


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door() as opened:
        yield opened


async def press(page: Page, name: str) -> None:
    """A button or a link that looks like one."""
    either = page.get_by_role("button", name=name).or_(page.get_by_role("link", name=name))
    await either.first.click()


async def make_app(page: Page) -> None:
    """Fill in nothing: what is proposed will do."""
    await press(page, "Go on")
    await press(page, "Continue to GitHub")
    await press(page, "Create GitHub App")


async def sign_in(page: Page, door: Door) -> None:
    """At GitHub, and let the App read who one is."""
    await press(page, "Continue with GitHub")
    await page.get_by_label("Username").fill(door.person.login)
    await page.get_by_label("Password").fill("any")
    await press(page, "Sign in")
    await press(page, "Authorize")


async def install(page: Page, door: Door, number: int) -> None:
    """On the provider's organization, and back."""
    links = page.get_by_role("link", name="Install at GitHub")
    address = await links.nth(number).get_attribute("href")
    assert address
    await page.goto(address)
    await press(page, f"Install on {door.provider.owner.login}")
    await page.goto(f"{door.url}/setup/install")


async def set_up(page: Page, door: Door) -> None:
    """The whole setup, to its end."""
    await page.goto(door.link)
    await press(page, "Begin in this browser")
    await press(page, "Go on")
    await make_app(page)
    await make_app(page)
    await press(page, "Sign in with GitHub")
    await sign_in(page, door)
    await press(page, f"Make {door.person.login} the operator")
    await page.get_by_label("Everybody").check()
    await press(page, "Go on")
    for number in range(2):
        await install(page, door, number)
    await expect(page.get_by_text("1 account")).to_have_count(2)
    await press(page, "Go on")
    await expect(page.get_by_text("As it should be")).to_have_count(2)
    await press(page, "Finish the setup")
    await expect(page.get_by_role("heading", name="Zekt is ready")).to_be_visible()


async def held(door: Door) -> list[Installation]:
    """The orchestration App's installations, as GitHub has them."""
    held = await door.broker.credentials.get("orchestrator")
    known = door.github.core.world.live_installations()
    return [one for one in known if str(one.app.app_id) == held.app_id]


async def suspended(door: Door) -> bool:
    found = await door.broker.database.query(mirror.repositories_by_id, [door.provider.id])
    return found[door.provider.id].obstacle == "app_suspended"


async def test_from_nothing_to_consent_taken_back(door: Door, browser: Browser) -> None:
    problems: list[str] = []

    def heard(told: ConsoleMessage) -> None:
        if told.type == "error" and told.location["url"].startswith(door.url):
            problems.append(told.text)

    page = await browser.new_page()
    page.on("console", heard)
    page.on("pageerror", lambda error: problems.append(str(error)))
    await set_up(page, door)
    await press(page, "Open the console")
    await page.get_by_label("Both").check()
    await press(page, "Go on")
    await page.get_by_role("link", name="Repositories").first.click()
    row = page.get_by_role("row").filter(has_text=door.provider.name)
    await row.get_by_role("link", name="Enable").click()
    await press(page, f"Enable {door.provider.name}")
    await expect(row.get_by_text("Provider")).to_be_visible()
    (installed,) = await held(door)
    await door.github.suspend(installed)
    await door.github.settle()
    await until(lambda: suspended(door))
    await page.reload()
    await expect(page.get_by_text("Suspended at GitHub")).to_be_visible()
    await expect(row.get_by_text("Suspended")).to_be_visible()
    assert problems == []  # nothing that the Content-Security-Policy stopped, no script that failed
