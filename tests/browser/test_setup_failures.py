"""What goes wrong in the setup: a page says so, keeps nothing by halves, and shows how to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.going_wrong import (
    ME,
    an_hour_passes,
    changed,
    held_back,
    kept,
    says,
    shows,
    somebody,
)
from tests.browser.walking import (
    begin,
    finish,
    install,
    make_app,
    make_apps,
    press,
    sign_in,
    to_github,
)
from zekt_bot.operations import setup

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from zekt_bot.cli.demo.console import Door

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


async def test_a_link_is_for_one_browser_and_the_newest_one_counts(
    door: Door, browser: Browser
) -> None:
    first, second = await browser.new_page(), await somebody(door, browser)
    await first.goto(door.link)
    await second.goto(door.link)
    await press(first, "Begin in this browser")
    await shows(first, "Where people reach this server")
    await press(second, "Begin in this browser")
    await says(second, "This setup link no longer works", "zekt setup-link")
    await second.goto(f"{door.url}/setup")
    await says(second, "This browser may not do the setup")
    await second.goto(await setup.new_link(door.broker, ME))
    await press(second, "Begin in this browser")
    await shows(second, "Where people reach this server")
    await first.reload()
    await says(first, "This browser may not do the setup")


async def test_a_name_that_is_taken_is_changed_at_github(door: Door, browser: Browser) -> None:
    page = await browser.new_page()
    door.github.app("taken-already")
    await begin(page, door)
    await page.goto(f"{door.url}/setup/oauth")
    await page.get_by_label("Name").fill("Taken already")
    await press(page, "Go on")
    await press(page, "Continue to GitHub")
    await press(page, "Create GitHub App")
    await says(page, "already in use")
    await page.get_by_label("GitHub App name").fill("Zekt of mine")
    await press(page, "Create GitHub App")
    await shows(page, "Create the orchestration App")


async def test_what_github_brings_back_is_taken_once_in_time_and_as_it_was_given(
    door: Door, browser: Browser
) -> None:
    page = await browser.new_page()
    await begin(page, door)

    async def made(name: str) -> str:
        await page.goto(f"{door.url}/setup/oauth")
        await page.get_by_label("Name").fill(name)
        await press(page, "Go on")
        await press(page, "Continue to GitHub")
        return await held_back(page, "Create GitHub App")

    late = await made("Late")
    await an_hour_passes(door)
    await page.goto(late)
    await says(page, "GitHub's answer cannot be used", "came too late")

    other = await made("Other")
    await page.goto(changed(other, state="made-up"))
    await says(page, "belongs to no step that was begun here")
    await page.goto(changed(other, code="0" * 40))
    await says(page, "GitHub does not know this code", "delete it there")
    await page.goto(other)
    await says(page, "done already")
    assert await kept(door) == set()
    await press(page, "Go on with the setup")
    await press(page, "Go on")

    good = await made("Good")
    stranger = await somebody(door, browser)
    await stranger.goto(good)
    await says(stranger, "This browser may not do the setup")
    door.github.fail("POST", "/app-manifests/*", status=502)
    await page.goto(good)
    await says(page, "GitHub does not answer", "Nothing was stored")
    assert await kept(door) == set()
    await press(page, "Try again")
    await shows(page, "Create the orchestration App")
    assert await kept(door) == {"oauth"}
    await page.goto(good)
    await says(page, "done already")
    await press(page, "Go on with the setup")
    await shows(page, "Create the orchestration App")


async def test_another_browser_that_was_let_in_meanwhile_takes_no_answer_of_the_former(
    door: Door, browser: Browser
) -> None:
    first, second = await browser.new_page(), await somebody(door, browser)
    await begin(first, door)
    await first.goto(f"{door.url}/setup/oauth")
    await press(first, "Go on")
    await press(first, "Continue to GitHub")
    answer = await held_back(first, "Create GitHub App")
    await second.goto(await setup.new_link(door.broker, ME))
    await press(second, "Begin in this browser")
    await shows(second, "Where people reach this server")
    await second.goto(answer)
    await says(second, "belongs to another browser")
    assert await kept(door) == set()


async def test_github_is_down_at_each_later_step(door: Door, browser: Browser) -> None:
    page = await browser.new_page()
    await make_apps(page, door)
    await press(page, "Sign in with GitHub")
    door.github.fail("POST", "/login/oauth/access_token", status=502)
    await sign_in(page, door.person.login)
    await says(page, "GitHub does not answer")
    await press(page, "Continue with GitHub")
    await press(page, f"Make {door.person.login} the operator")
    await page.get_by_label("These accounts").check()
    await page.get_by_label("Logins").fill(door.provider.owner.login)
    door.github.fail("GET", "/users/*", status=502)
    await press(page, "Go on")
    await says(page, "Nothing was stored; try again.")
    await expect(page.get_by_label("Logins")).to_have_value(door.provider.owner.login)
    await press(page, "Go on")
    await shows(page, "Install both apps")
    for number in range(2):
        await install(page, door, number)
    door.github.fail("GET", "/app", status=502, times=9)
    await press(page, "Look again")
    await says(page, "GitHub")
    await expect(page.get_by_text("1 account")).to_have_count(0)
    door.github.clear_faults()
    await finish(page)


async def test_it_goes_on_where_it_was_interrupted(door: Door, browser: Browser) -> None:
    """The window is closed after each step, and opened again at `/setup`."""
    context = await browser.new_context()
    page = await context.new_page()
    await begin(page, door)

    async def again(heading: str) -> Page:
        left = context.pages
        opened = await context.new_page()
        for each in left:  # a context's last page, amid a navigation, at times never closes
            await each.close()
        await opened.goto(f"{door.url}/setup")
        await shows(opened, heading)
        return opened

    page = await again("Where people reach this server")
    await press(page, "Go on")
    await press(page, "Go on")  # and nothing is sent to GitHub
    await shows(page, "What GitHub will be told")
    page = await again("Where people reach this server")
    await press(page, "Go on")
    await make_app(page)
    page = await again("Create the orchestration App")
    await press(page, "Go on")
    await press(page, "Continue to GitHub")
    page = await again("Create the orchestration App")
    await make_app(page)
    page = await again("Who operates this server")
    await press(page, "Sign in with GitHub")
    await to_github(page, door.person.login)
    page = await again("Who operates this server")
    await press(page, "Sign in with GitHub")
    await press(page, "Continue with GitHub")
    await press(page, "Authorize")
    page = await again("Who operates this server")
    await press(page, f"Make {door.person.login} the operator")
    page = await again("Whose repositories are served")
    await page.get_by_label("Everybody").check()
    await press(page, "Go on")
    page = await again("Install both apps")
    for number in range(2):
        await install(page, door, number)
    page = await again("Install both apps")
    await finish(page)
    for one in (page, await again("Check")):
        if not one.is_closed():
            await says(one, "The setup is finished.")
