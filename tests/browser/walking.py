"""What a person presses on the way from nothing to a server that works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import expect

if TYPE_CHECKING:
    from playwright.async_api import Page

    from zekt_bot.cli.demo.console import Door

expect.set_options(timeout=30_000)  # a page on a loaded machine


async def press(page: Page, name: str) -> None:
    """A button or a link that looks like one."""
    either = page.get_by_role("button", name=name).or_(page.get_by_role("link", name=name))
    await either.first.click()


async def make_app(page: Page) -> None:
    """Fill in nothing: what is proposed will do."""
    await press(page, "Go on")
    await press(page, "Continue to GitHub")
    await press(page, "Create GitHub App")


async def sign_in(page: Page, login: str) -> None:
    """At GitHub, and let the App read who one is."""
    await to_github(page, login)
    await press(page, "Authorize")


async def to_github(page: Page, login: str) -> None:
    """From the door to the page where GitHub asks whether one wants that."""
    await press(page, "Continue with GitHub")
    await page.get_by_label("Username").fill(login)
    await page.get_by_label("Password").fill("any")
    await press(page, "Sign in")


async def install(page: Page, door: Door, number: int) -> None:
    """On the provider's organization, and back."""
    links = page.get_by_role("link", name="Install at GitHub")
    address = await links.nth(number).get_attribute("href")
    assert address
    await page.goto(address)
    await press(page, f"Install on {door.provider.owner.login}")
    await page.goto(f"{door.url}/setup/install")


async def begin(page: Page, door: Door) -> None:
    """Let this browser do the setup."""
    await page.goto(door.link)
    await press(page, "Begin in this browser")
    await expect(page.get_by_role("heading", name="Where people reach this server")).to_be_visible()


async def make_apps(page: Page, door: Door) -> None:
    """From the first step to where somebody signs in."""
    await begin(page, door)
    await press(page, "Go on")
    await make_app(page)
    await make_app(page)


async def set_up(page: Page, door: Door) -> None:
    """The whole setup, to its end."""
    await make_apps(page, door)
    await press(page, "Sign in with GitHub")
    await sign_in(page, door.person.login)
    await press(page, f"Make {door.person.login} the operator")
    await page.get_by_label("Everybody").check()
    await press(page, "Go on")
    for number in range(2):
        await install(page, door, number)
    await finish(page)


async def finish(page: Page) -> None:
    """From where both Apps are installed to the end."""
    await page.reload()
    await expect(page.get_by_text("1 account")).to_have_count(2)
    await press(page, "Go on")
    await expect(page.get_by_text("As it should be")).to_have_count(2)
    await press(page, "Finish the setup")
    await expect(page.get_by_role("heading", name="Zekt is ready")).to_be_visible()
