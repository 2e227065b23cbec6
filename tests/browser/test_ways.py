"""The same pages by the keyboard alone, and without any script."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.walking import press, set_up, to_github

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from zekt_bot.cli.demo.console import Door

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

_MOST_STOPS = 80
# The name of what has the focus, and whether it can be seen that it has; a choice shows its ring
# around the whole card.
_FOCUSED = """() => {
  const here = document.activeElement;
  const card = here.closest(".choice") ?? here;
  const ring = getComputedStyle(card).outlineStyle !== "none" &&
    parseFloat(getComputedStyle(card).outlineWidth) > 0;
  const label = here.labels?.length ? [...here.labels].map((l) => l.innerText).join(" ") : "";
  const name = here.getAttribute("aria-label") ?? (label || here.innerText || "");
  return {name: name.trim().replace(/\\s+/g, " "), ring, tag: here.tagName};
}"""


class Keyboard:
    """A person without a mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def to(self, name: str) -> None:
        """Press Tab until the focus is on what is called so; each stop must show its ring."""
        for _ in range(_MOST_STOPS):
            await self.page.keyboard.press("Tab")
            found = await self.page.evaluate(_FOCUSED)
            if found["tag"] == "BODY":  # past the last one: it begins anew
                continue
            at_github = not self.page.url.startswith("http://localhost")
            assert found["ring"] or at_github, f"{self.page.url}: no ring on {found}"
            if found["name"].startswith(name):
                return
        raise AssertionError(f"{self.page.url}: no way to {name} by Tab")

    async def press(self, name: str, heading: str) -> None:
        """Go to a button or link and press Enter; then the page with this heading is there."""
        await self.to(name)
        await self.page.keyboard.press("Enter")
        await expect(self.page.get_by_role("heading", name=heading)).to_be_visible()

    async def type(self, name: str, text: str) -> None:
        """Fill a field."""
        await self.to(name)
        await self.page.keyboard.press("Control+A")
        await self.page.keyboard.type(text)


async def test_the_setup_and_the_console_by_keyboard_alone(door: Door, browser: Browser) -> None:
    page = await browser.new_page()
    hands, login = Keyboard(page), door.person.login
    await page.goto(door.link)
    await hands.press("Begin in this browser", "Where people reach this server")
    for after in ("Create the orchestration App", "Who operates this server"):
        if after == "Create the orchestration App":
            await hands.press("Go on", "Create the sign-in App")
        await hands.to("Name")
        await hands.press("Go on", "What GitHub will be told")
        await hands.press("Continue to GitHub", "Create GitHub App")
        await hands.press("Create GitHub App", after)
    await hands.press("Sign in with GitHub", "Sign in to")
    await hands.press("Continue with GitHub", "Sign in to GitHub")
    await hands.type("Username", login)
    await hands.press("Sign in", "Authorize")
    await hands.press("Authorize", "Who operates this server")
    await hands.press(f"Make {login} the operator", "Whose repositories are served")
    await hands.to("These accounts")
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_label("Everybody")).to_be_checked()
    await hands.press("Go on", "Install both apps")
    for number in range(2):
        for _ in range(number + 1):
            await hands.to("Install at GitHub")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/installations/new")
        await hands.press(f"Install on {door.provider.owner.login}", "Install both apps")
    await hands.press("Go on", "Check")
    await hands.press("Finish the setup", "Zekt is ready")
    await hands.press("Open the console", "What brings you here")
    await hands.to("I provide")
    await page.keyboard.press("Space")
    await hands.press("Go on", "Repositories")

    await hands.to("Skip to the content")
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    await hands.press(f"Enable {door.provider.full_name}", f"Enable {door.provider.name}")
    await hands.to("As provider")
    await page.keyboard.press("Space")
    await hands.press(f"Enable {door.provider.name}", "Repositories")
    await hands.to(f"Account of {login}")
    await page.keyboard.press("Enter")
    await expect(page.locator("#account")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("#account")).to_be_hidden()
    await page.keyboard.press("Enter")  # the focus came back to the button
    await hands.press("Profile", login)
    await hands.press("Sign out", "Sign in to")


async def test_everything_essential_works_without_scripts(door: Door, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await set_up(page, door)
    await press(page, "Open the console")
    await page.get_by_label("I provide").check()
    await press(page, "Go on")
    row = page.get_by_role("row").filter(has_text=door.provider.name)
    await row.get_by_role("link", name="Enable").click()
    await press(page, f"Enable {door.provider.name}")
    await expect(row.get_by_text("Provider", exact=True)).to_be_visible()
    await page.get_by_label("Name").fill("no-such")
    await press(page, "Filter")
    await expect(page.get_by_text("Nothing fits these filters")).to_be_visible()
    await press(page, "Clear the filters")
    await row.get_by_role("link", name="Disable").click()
    await press(page, f"Disable {door.provider.name}")
    await expect(row.get_by_text("Disabled")).to_be_visible()

    await page.set_viewport_size({"width": 390, "height": 800})
    await page.get_by_role("button", name="Menu").click()
    await page.locator("#menu").get_by_role("link", name="Profile").click()
    await page.get_by_role("button", name=f"Account of {door.person.login}").click()
    await page.locator("#account").get_by_role("button", name="Dark").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await expect(page.get_by_text("Times in UTC")).to_be_visible()
    await press(page, "Sign out")
    await page.goto(f"{door.url}/me")
    await press(page, "Continue with GitHub")
    await expect(page.get_by_role("heading", name=door.person.login)).to_be_visible()
    other = await browser.new_page(java_script_enabled=False)
    await other.goto(f"{door.url}/me")
    await to_github(other, door.person.login)
    await expect(other.get_by_text("2 sessions")).to_be_visible()
    await page.reload()
    await (
        page.get_by_role("row")
        .filter(has_not_text="This one")
        .get_by_role("button", name="End the session")
        .click()
    )
    await other.reload()
    await expect(other.get_by_text("Your session ended")).to_be_visible()
