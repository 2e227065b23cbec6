"""An authorization that was withdrawn while no webhook came through: GitHub is asked."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.db.rows import stored
from zekt_bot.db.tables import audit, sessions

if TYPE_CHECKING:
    from tests.web.console.browsing import Browser
    from tests.web.console.console import Console
    from tests.web.console.org import Org

ENABLE = "/repositories/aurora-labs/docs/enable"
MINUTE = timedelta(minutes=1)


async def unheard(console: Console) -> None:
    """Maja withdraws her authorization, and Zekt hears nothing of it."""
    with console.github.outage():
        await console.github.revoke_authorization(console.oauth, console.maja)


def asked(console: Console) -> int:
    """How often GitHub was asked whose a token is."""
    return sum(one.path == "/user" for one in console.github.requests)


async def signed_in(console: Console) -> Browser:
    browser = console.browser()
    await console.sign_in(browser)
    return browser


async def test_nothing_is_changed_for_who_withdrew_the_authorization(org: Org) -> None:
    browser, console = await org.browser(), org.console
    page = await browser.get("/me")
    await unheard(console)
    console.clock.advance(MINUTE)
    sent = await browser.send(page, ENABLE, part="provider")
    assert (sent.status, sent.location) == (303, "/login?ended=1")
    assert await stored(console.broker.database, sessions) == []
    verbs = [row["verb"] for row in await stored(console.broker.database, audit)]
    assert verbs[-2:] == ["person:session:started", "github:authorization:refused"]


@pytest.mark.parametrize("after", [timedelta(minutes=5), timedelta(hours=7, minutes=55)])
async def test_no_page_is_shown_for_longer_than_minutes(on_each: Console, after: timedelta) -> None:
    browser = await signed_in(on_each)
    await unheard(on_each)
    on_each.clock.advance(timedelta(minutes=4))
    assert (await browser.get("/me")).status == 200
    on_each.clock.advance(after)
    assert (await browser.get("/me")).location == "/login?next=/me&ended=1"


async def test_github_is_asked_every_few_minutes_and_before_a_change(console: Console) -> None:
    browser = await signed_in(console)
    page, before = await browser.get("/me"), asked(console)
    for _ in range(10):
        console.clock.advance(MINUTE)
        await browser.get("/me")
    assert asked(console) == before + 2
    for _ in range(3):
        console.clock.advance(MINUTE / 2)
        await browser.send(page, "/welcome", next="/", view="both")
    assert asked(console) == before + 3


@pytest.mark.parametrize("status", [500, 502, 403, 429])
async def test_a_github_that_is_away_leaves_the_session_as_it_is(
    console: Console, status: int
) -> None:
    browser = await signed_in(console)
    console.clock.advance(timedelta(minutes=6))
    before = asked(console)
    console.github.fail("GET", "/user", status=status, times=99)
    assert [(await browser.get("/me")).status for _ in range(3)] == [200] * 3
    assert asked(console) == before + 1


async def test_nobody_waits_for_a_github_that_hangs(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = await signed_in(console)
    await unheard(console)
    console.clock.advance(timedelta(minutes=6))
    free = asyncio.Event()
    console.github.fail("GET", "/user", until=free)
    with monkeypatch.context() as impatient:
        impatient.setattr("zekt_bot.operations.user_tokens._PATIENCE", 0.1)
        page = await browser.get("/me")
    assert page.status == 200
    free.set()
    console.clock.advance(timedelta(minutes=6))
    assert (await browser.get("/me")).status == 303


async def test_who_withdraws_while_signing_in_is_not_signed_in(on_each: Console) -> None:
    """GitHub tells so when there is no session yet."""
    github, browser, free = on_each.github, on_each.browser(), asyncio.Event()
    back = await on_each.at_github(await on_each.go(browser, "/login?next=/me"))
    github.fail("GET", "/user", until=free, when="after")
    signing_in = asyncio.create_task(browser.get(back))
    while not asked(on_each):
        await asyncio.sleep(0.01)
    await github.revoke_authorization(on_each.oauth, on_each.maja)
    (told,) = github.deliveries
    assert told.status_code == 202
    free.set()
    page = await signing_in
    assert page.status == 403
    assert "You withdrew the authorization at GitHub meanwhile." in page.words
    assert "zekt-session" not in browser.cookies
    assert await stored(on_each.broker.database, sessions) == []
