"""What goes wrong on the way: a page says so, keeps nothing by halves, and shows how to go on."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import expect
from sqlalchemy import select, update

from tests.browser.walking import (
    begin,
    finish,
    install,
    make_app,
    make_apps,
    press,
    set_up,
    sign_in,
    to_github,
)
from tests.db.rows import stored, until
from zekt_bot.db.tables import sessions, web_states
from zekt_bot.domain.access import Operator
from zekt_bot.operations import accounts, setup
from zekt_bot.web.console.sign_in import MOST_TRIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.async_api import Browser, Page, Route
    from sqlalchemy import Connection, Table

    from zekt_bot.cli.demo.console import Door

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

ME = Operator("cli:me@here")
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def says(page: Page, *words: str) -> None:
    """What a person reads there."""
    for each in words:
        await expect(page.get_by_text(each).first).to_be_visible()


async def shows(page: Page, heading: str) -> None:
    await expect(page.get_by_role("heading", name=heading)).to_be_visible()


def _expire(connection: Connection, rows: Sequence[Table]) -> list[None]:
    for table in rows:
        known = connection.execute(select(table.c.hash, table.c.expires_at)).all()
        for hash_, at in known:
            chosen = update(table).where(table.c.hash == hash_)
            connection.execute(chosen.values(expires_at=at - timedelta(hours=1)))
    return [None] * len(rows)


async def an_hour_passes(door: Door) -> None:
    """For all that was handed to GitHub and has not come back."""
    await door.broker.database.write(_expire, web_states)


async def somebody(door: Door, browser: Browser, login: str = "mona") -> Page:
    """Another person, in a browser of their own."""
    if door.github.core.world.account(login) is None:
        door.github.account(login, "User")
    return await (await browser.new_context()).new_page()


async def kept(door: Door) -> set[str]:
    """The Apps that are stored."""
    found = await setup.progress(door.broker, ME)
    return {each.app for each in (found.oauth, found.orchestrator) if each.done}


async def held_back(page: Page, press_it: str) -> str:
    """Press a button at GitHub that leads back; gives the address, which is not loaded.

    As where the network fails at that moment.
    """
    came: list[str] = []

    async def stop(route: Route) -> None:
        if route.request.method != "POST":
            await route.continue_()
            return
        answer = await route.fetch(max_redirects=0)
        came.append(answer.headers["location"])
        await route.abort()

    await page.route("**/*", stop)
    await press(page, press_it)
    await until(lambda: asyncio.sleep(0, bool(came)))
    await page.unroute("**/*")
    return came[0]


def changed(address: str, **fields: str) -> str:
    """The address with other values in its query."""
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return urlunsplit(parts._replace(query=urlencode({**query, **fields})))


# The setup


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
        for each in context.pages:
            await each.close()
        opened = await context.new_page()
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


# Signing in


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
