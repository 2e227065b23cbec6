"""Every page fits from 360 to 1280 pixels, and axe finds nothing, in light and in dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.looking import Looks, paths
from tests.browser.walking import begin, make_app, press, set_up, sign_in

if TYPE_CHECKING:
    from playwright.async_api import Browser

    from zekt_bot.cli.demo.console import Door

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def everywhere(door: Door, app: str, verb: str) -> list[str]:
    """Every page, with names of things that are there; and one that is not."""
    owner, name = door.provider.full_name.split("/")
    account = str(door.provider.owner.id)
    found = paths(owner=owner, name=name, verb=verb, app=app, account=account, login=owner)
    return [*found, "/nowhere", "/login?ended=1&next=/me"]


async def test_before_anybody_came(door: Door, browser: Browser) -> None:
    looks, page = Looks(), await browser.new_page()
    await looks.at_each(page, door.url, everywhere(door, "oauth", "enable"))
    await page.goto(door.link)
    await looks.at(page)
    assert looks.wrong == []


async def test_while_it_is_set_up(door: Door, browser: Browser) -> None:
    looks, page = Looks(), await browser.new_page()
    await begin(page, door)
    await looks.at_each(page, door.url, everywhere(door, "oauth", "enable"))
    await page.goto(f"{door.url}/setup/oauth")
    await page.get_by_label("Name").fill("z" * 35)
    await press(page, "Go on")
    await looks.at(page)
    await page.get_by_label("Name").fill("Zekt sign-in")
    await press(page, "Go on")
    await looks.at(page)
    await page.goto(f"{door.url}/setup")
    await press(page, "Go on")
    await make_app(page)
    await make_app(page)
    await looks.at(page)
    await looks.at_each(page, door.url, everywhere(door, "orchestrator", "enable"))
    await page.goto(f"{door.url}/setup/operator")
    await press(page, "Sign in with GitHub")
    await sign_in(page, door.person.login)
    await looks.at(page)
    await press(page, f"Make {door.person.login} the operator")
    await page.get_by_label("These accounts").check()
    await page.get_by_label("Logins").fill("nobody-of-this-name")
    await press(page, "Go on")
    await looks.at(page)
    assert looks.wrong == []


async def test_for_an_operator(door: Door, browser: Browser) -> None:
    looks, page = Looks(), await browser.new_page()
    await set_up(page, door)
    await press(page, "Open the console")
    await looks.at(page)
    await looks.at_each(page, door.url, everywhere(door, "oauth", "enable"))
    owner, name = door.provider.full_name.split("/")
    await page.goto(f"{door.url}/repositories/{owner}/{name}/enable")
    await press(page, f"Enable {name}")
    await expect(page.get_by_role("heading", name="Repositories")).to_be_visible()
    await looks.at_each(page, door.url, everywhere(door, "orchestrator", "disable"))
    for menu in ("Menu", f"Account of {door.person.login}"):
        await page.set_viewport_size({"width": 390, "height": 800})
        await page.goto(f"{door.url}/me")
        await page.get_by_role("button", name=menu).click()
        looks.seen.clear()
        await looks.at(page)
    assert looks.wrong == []


async def test_for_somebody_who_has_nothing(door: Door, browser: Browser) -> None:
    looks = Looks()
    await set_up(await browser.new_page(), door)
    door.github.account("eve-of-a-rather-long-name-indeed", "User")
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{door.url}/login")
    await sign_in(page, "eve-of-a-rather-long-name-indeed")
    await looks.at_each(page, door.url, everywhere(door, "oauth", "enable"))
    await page.goto(f"{door.url}/repositories?name=aurora-labs/{'x' * 100}")
    await looks.at(page)
    assert looks.wrong == []


async def test_where_it_was_refused(door: Door, browser: Browser) -> None:
    looks, page = Looks(), await browser.new_page()
    await set_up(page, door)
    stranger = await (await browser.new_context()).new_page()
    await looks.at_each(stranger, door.url, ["/setup/check", "/auth/github/callback?state=x"])
    door.github.fail("GET", "/app", status=502, times=99)
    door.github.fail("GET", "/user/*", status=502, times=99)
    await looks.at_each(page, door.url, ["/apps", "/setup/check", "/repositories", "/consent"])
    assert looks.wrong == []


async def test_what_does_not_fit_or_cannot_be_read_is_found(browser: Browser) -> None:
    looks, page = Looks(), await browser.new_page()
    await page.set_content(
        "<html lang=en><title>Wrong</title><main><h1>Wrong</h1>"
        "<p style='width: 500px; color: #999; background: #aaa'>Hard to read</p></main>"
    )
    await looks.at(page)
    told = " ".join(looks.wrong)
    assert "light 360: too wide" in told
    assert "1280: too wide" not in told
    assert "dark 1280: color-contrast" in told


async def test_a_chosen_theme_wins_over_the_system_s(door: Door, browser: Browser) -> None:
    page = await browser.new_page()
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    painted = []
    for system, chosen in (("light", ""), ("dark", ""), ("light", "dark"), ("dark", "light")):
        await page.context.clear_cookies()
        if chosen:
            cookie = {"name": "zekt-theme", "value": chosen, "url": door.url}
            await page.context.add_cookies([cookie])  # type: ignore[list-item]
        await page.emulate_media(color_scheme=system)  # type: ignore[arg-type]
        await page.goto(f"{door.url}/login")
        painted.append(await page.evaluate(ground))
    light, dark, dark_again, light_again = painted
    assert light != dark
    assert (light, dark) == (light_again, dark_again)
