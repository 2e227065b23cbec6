"""What goes wrong in signing in: a page says so, lets nobody in, and shows how to go on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import update

from tests.browser.going_wrong import (
    ME,
    an_hour_passes,
    changed,
    held_back,
    says,
    shows,
    somebody,
)
from tests.browser.walking import (
    press,
    set_up,
    sign_in,
    to_github,
)
from tests.db.rows import stored
from zekt_bot.db.tables import sessions
from zekt_bot.operations import accounts
from zekt_bot.web.console.sign_in import MOST_TRIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.async_api import Browser
    from sqlalchemy import Connection

    from zekt_bot.cli.demo.console import Door

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def test_signing_in_goes_wrong_and_then_well(door: Door, browser: Browser) -> None:
    await set_up(await browser.new_page(), door)
    page = await somebody(door, browser)
    await page.goto(f"{door.url}/me")
    await to_github(page, "mona")
    await press(page, "Cancel")
    await says(page, "You are not signed in", "You said no at GitHub. Nothing was stored.")
    assert await page.locator("[name=next]").get_attribute("value") == "/me"  # to be gone on with
    for change, said in (
        ({"state": "made-up"}, "is not known here"),
        ({"code": "0" * 20}, "came too late or was used before"),
        ({"error": "access_denied"}, "You said no at GitHub"),
    ):
        await press(page, "Continue with GitHub")
        await page.goto(changed(await held_back(page, "Authorize"), **change))
        await says(page, said)
        door.github.core.people.authorized.clear()
    await press(page, "Continue with GitHub")
    late = await held_back(page, "Authorize")
    await an_hour_passes(door)
    await page.goto(late)
    await says(page, "That took more than 10 minutes. Start again.")
    door.github.core.people.authorized.clear()
    for method, path in (("POST", "/login/oauth/access_token"), ("GET", "/user")):
        await press(page, "Continue with GitHub")
        door.github.fail(method, path, status=502)
        await press(page, "Authorize")
        await says(page, "GitHub does not answer. Nothing was stored; try again in a minute.")
        door.github.core.people.authorized.clear()
    assert len(await stored(door.broker.database, sessions)) == 1  # the operator's

    await press(page, "Continue with GitHub")
    await press(page, "Authorize")
    await shows(page, "What brings you here, mona?")


async def test_an_answer_of_github_is_one_browser_s_and_good_once(
    door: Door, browser: Browser
) -> None:
    await set_up(await browser.new_page(), door)
    page = await somebody(door, browser)
    await page.goto(f"{door.url}/me")
    await to_github(page, "mona")
    once = await held_back(page, "Authorize")
    other = await somebody(door, browser)
    await other.goto(once)
    await says(other, "This answer belongs to another browser or tab. Start again here.")
    await page.goto(once)
    await shows(page, "mona")  # the profile that was asked for
    await page.goto(once)
    await says(page, "was finished before")
    await page.goto(f"{door.url}/me")
    await shows(page, "mona")
    for _ in range(MOST_TRIES):
        await other.goto(once)
    await says(other, "Too many tries", "Wait a minute")


async def test_a_second_factor_is_github_s(door: Door, browser: Browser) -> None:
    await set_up(await browser.new_page(), door)
    mona = door.github.account("mona", "User")
    door.github.require_code(mona, "123456")
    page = await somebody(door, browser)
    await page.goto(f"{door.url}/me")
    await to_github(page, "mona")
    for code, heading in (("000000", "Two-factor authentication"), ("123456", "Authorize")):
        await page.get_by_label("Authentication code").fill(code)
        await press(page, "Verify")
        await shows(page, heading)
    await press(page, "Authorize")
    await shows(page, "mona")


async def test_github_may_send_people_on_to_an_identity_provider(
    door: Door, browser: Browser
) -> None:
    """Browsers hold every redirect of a form to the page's `form-action`: this way is none."""

    async def welcome(_: web.Request) -> web.Response:
        return web.Response(text="<h1>Our company</h1>", content_type="text/html")

    site = web.Application()
    site.router.add_get("/", welcome)
    await set_up(await browser.new_page(), door)
    async with TestServer(site) as provider:
        door.github.core.people.identity_provider = str(provider.make_url("/"))
        page = await somebody(door, browser)
        await page.goto(f"{door.url}/me")
        await press(page, "Continue with GitHub")
        await shows(page, "Our company")


async def test_a_session_is_over_when_github_or_an_operator_says_so_and_when_it_is_idle(
    door: Door, browser: Browser
) -> None:
    await set_up(await browser.new_page(), door)
    page = await somebody(door, browser)
    await page.goto(f"{door.url}/me")
    await sign_in(page, "mona")
    await shows(page, "mona")

    at_github = await page.context.new_page()
    await at_github.goto(f"{door.github.web_url}/settings/apps/authorizations")
    await press(at_github, "Revoke")
    await says(at_github, "None.")
    await page.reload()
    await shows(page, "Your session ended")
    await press(page, "Continue with GitHub")
    await press(page, "Authorize")
    await shows(page, "mona")

    await door.broker.database.write(_leave_alone, None)
    await page.goto(f"{door.url}/repositories?name=x")
    await shows(page, "Your session ended")
    await press(page, "Continue with GitHub")
    await shows(page, "Repositories")
    assert page.url == f"{door.url}/repositories?name=x"

    await accounts.block(door.broker, ME, "mona")
    await page.reload()
    await shows(page, "Your session ended")
    await press(page, "Continue with GitHub")
    await says(page, "mona is shut out of this server; ask its operator.")


async def test_who_owns_nothing_asks_an_owner_to_install(door: Door, browser: Browser) -> None:
    await set_up(await browser.new_page(), door)
    page, company = await somebody(door, browser), door.consumer.owner
    mona = door.github.core.world.account("mona")
    assert mona is not None
    company.members = {**(company.members or {}), mona.id: "member"}
    await page.goto(f"{door.url}/repositories")
    await sign_in(page, "mona")
    await press(page, "Install the orchestration app")
    await press(page, f"Request on {company.login}")
    await says(page, "Waiting for an owner")
    (asked,) = door.github.core.world.requests
    assert (asked.account, asked.requester) == (company, mona)


def _leave_alone(connection: Connection, rows: Sequence[None]) -> list[None]:
    connection.execute(update(sessions).values(seen_at=_LONG_AGO))
    return [None] * len(rows)
