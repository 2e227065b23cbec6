"""The pages that tell of trouble fit as the others do, and axe finds nothing there either."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.browser.furnishing import Trouble
from tests.browser.looking import Looks
from tests.browser.walking import begin, press, set_up, sign_in
from zekt_bot.app import open_broker, serving
from zekt_bot.cli.demo.stage import kept_port
from zekt_bot.config import AppCredentials
from zekt_bot.web.console import consent
from zekt_bot.web.console.repositories import MOST_QUESTIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from zekt_bot.cli.demo.console import Door

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@asynccontextmanager
async def beside(door: Door, **settings: Any) -> AsyncIterator[Door]:
    """Another web process on the same database, with other settings."""
    async with kept_port() as port:
        url = f"http://localhost:{port}"
        changed = replace(door.broker.settings, port=port, public_url=url, **settings)
        async with open_broker(changed) as broker, serving(broker):
            yield replace(door, broker=broker, url=url, link=door.link.replace(door.url, url))


async def test_of_accounts_and_repositories(door: Door, browser: Browser) -> None:
    looks, page = Looks(), await browser.new_page()
    await set_up(page, door)
    trouble = await Trouble.at(door)
    await trouble.everywhere()
    await page.goto(f"{door.url}/repositories")  # which begins to keep what GitHub says, anew
    (held,) = [one for one in trouble.installed if one.account is door.provider.owner]
    back = f"/repositories?setup_action=install&installation_id={held.id}"
    await page.goto(door.url + back)
    for words in ("Installed on", "Suspended at GitHub", "removed Zekt", "permissions wait"):
        await expect(page.get_by_text(words).first).to_be_visible()
    for words in ("Waiting for an owner of quiet-oak", "while it is archived", "may not start"):
        await expect(page.get_by_text(words).first).to_be_visible()
    await looks.at(page)
    unconfirmed = [back[:-1] + "x", "/repositories?setup_action=request", "/consent"]
    await looks.at_each(page, door.url, ["/repositories", *unconfirmed])
    await page.goto(f"{door.url}/repositories")
    await page.get_by_text("An organization is missing?").click()
    await looks.at(page)
    assert looks.wrong == []


async def test_of_the_server(door: Door, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, page = Looks(), await browser.new_page()
    await set_up(page, door)
    with monkeypatch.context() as broken:
        broken.setattr(consent, "STATES", None)
        await page.goto(f"{door.url}/consent")
        await expect(page.get_by_text("That went wrong on our side").first).to_be_visible()
        await looks.at(page)
    for _ in range(MOST_QUESTIONS + 1):
        await page.goto(f"{door.url}/repositories/nobody/nothing/enable")
    await expect(page.get_by_role("heading", name="Too fast")).to_be_visible()
    await looks.at(page)
    assert looks.wrong == []


async def test_of_an_address_that_github_cannot_reach(door: Door, browser: Browser) -> None:
    looks, page = Looks(), await browser.new_page()
    async with beside(door, github_url="https://github.com") as away:
        await begin(page, away)
        await expect(page.get_by_text("GitHub cannot reach localhost")).to_be_visible()
        await looks.at(page)
        await page.goto(f"{away.url}/setup/oauth")
        await page.get_by_label("Webhook proxy").fill("http://no-https.example")
        await press(page, "Go on")
        await looks.at(page)
    assert looks.wrong == []


@pytest.mark.parametrize("on", [True, False])
async def test_of_two_factor_sign_in_where_github_tells(
    door: Door, browser: Browser, on: bool
) -> None:
    looks, page = Looks(), await browser.new_page()
    await set_up(page, door)
    app = door.github.app("zekt-classic", permissions={}, events=())
    app.is_classic = True
    held = AppCredentials(client_id=app.client_id, client_secret=app.client_secret)
    async with beside(door, oauth=held) as classic:
        app.callback_urls = (f"{classic.url}/auth/github/callback",)
        await page.context.clear_cookies()
        await page.goto(f"{classic.url}/login?next=/me")
        await sign_in(page, door.person.login)
        await expect(page.get_by_role("heading", name=door.person.login)).to_be_visible()
        if on:
            door.github.core.people.second_factors[door.person.id] = "123456"
            await page.reload()
        said = f"Two-factor sign-in is {'on' if on else 'off'}"
        await expect(page.get_by_text(said)).to_be_visible()
        await looks.at(page)
    assert looks.wrong == []
