"""From nothing to consent taken back, as a person walks it, in a real browser."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from playwright.async_api import expect

from tests.browser.walking import press, set_up
from tests.db.rows import until
from zekt_bot.db import mirror

if TYPE_CHECKING:
    from playwright.async_api import Browser, ConsoleMessage, Page

    from zekt_bot.cli.demo.console import Door
    from zekt_bot.testing import Installation

ZONE = "Australia/Adelaide"  # half an hour beside the others


async def held(door: Door) -> list[Installation]:
    """The orchestration App's installations, as GitHub has them."""
    held = await door.broker.credentials.get("orchestrator")
    known = door.github.core.world.live_installations()
    return [one for one in known if str(one.app.app_id) == held.app_id]


async def heard(door: Door, obstacle: str | None) -> bool:
    """Whether Zekt has heard that the provider stands so."""
    found = await door.broker.database.query(mirror.repositories_by_id, [door.provider.id])
    return door.provider.id in found and found[door.provider.id].obstacle == obstacle


async def the_time_is_theirs(page: Page, door: Door) -> None:
    """The script shows it at once, and the server from then on: as the same."""
    await page.context.clear_cookies(name="zekt-zone")
    shown = []
    for _ in range(2):
        await page.goto(f"{door.url}/me")
        await expect(page.locator("[data-zone-name]")).to_have_text(ZONE)
        first = page.locator("time").first  # since when one is signed in
        at = datetime.fromisoformat(str(await first.get_attribute("datetime")))
        text = await first.inner_text()
        assert f"{at.astimezone(ZoneInfo(ZONE)):%H:%M}" in text
        shown.append(text)
    assert shown[0] == shown[1]


async def test_from_nothing_to_consent_taken_back(door: Door, browser: Browser) -> None:
    problems: list[str] = []

    def complains(told: ConsoleMessage) -> None:
        if told.type == "error" and told.location["url"].startswith(door.url):
            problems.append(told.text)

    page = await browser.new_page(timezone_id=ZONE)
    page.on("console", complains)
    page.on("pageerror", lambda error: problems.append(str(error)))
    await set_up(page, door)
    await press(page, "Open the console")
    await page.get_by_label("Both").check()
    await press(page, "Go on")
    await until(lambda: heard(door, None))
    await page.get_by_role("link", name="Repositories").first.click()
    row = page.get_by_role("row").filter(has_text=door.provider.name)
    await row.get_by_role("link", name="Enable").click()
    await press(page, f"Enable {door.provider.name}")
    await expect(row.get_by_text("Provider")).to_be_visible()
    (installed,) = await held(door)
    await door.github.suspend(installed)
    await door.github.settle()
    await until(lambda: heard(door, "app_suspended"))
    await page.reload()
    await expect(page.get_by_text("Suspended at GitHub")).to_be_visible()
    await expect(row.get_by_text("Suspended")).to_be_visible()
    await the_time_is_theirs(page, door)
    assert problems == []  # nothing that the Content-Security-Policy stopped, no script that failed
