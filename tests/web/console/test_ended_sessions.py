"""Sessions that are over: their tokens die at GitHub, and then nothing is kept."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from tests.db.rows import stored
from tests.web.console.console import open_console
from zekt_bot.chores import Chores
from zekt_bot.db import sessions as rows
from zekt_bot.db.tables import sessions
from zekt_bot.db.web_states import fingerprint
from zekt_bot.domain.access import Operator
from zekt_bot.errors import StorageUnavailable
from zekt_bot.operations import accounts, erasure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tests.web.console.console import Console
    from zekt_bot.testing import ManualClock

ME = Operator("cli:me@here")


def living(console: Console) -> int:
    """How many tokens GitHub would take, or renew."""
    return sum(not token.revoked for token in console.github.core.people.tokens.values())


def spoil(connection: Connection, rows: Sequence[str]) -> list[None]:
    """As under a key that was lost."""
    for hash_ in rows:
        theirs = update(sessions).where(sessions.c.hash == hash_)
        connection.execute(theirs.values(body=b"sealed with another key"))
    return [None] * len(rows)


async def left(console: Console) -> int:
    """How many sessions are kept once the hour's chore was done."""
    chores = Chores(console.broker, lambda: False).every
    await next(chore for chore in chores if chore.name == "retention").work()
    return len(await stored(console.broker.database, sessions))


@pytest.mark.parametrize("age", [timedelta(hours=8), timedelta(days=7), timedelta(days=90)])
async def test_the_token_of_a_session_that_ran_out_dies(on_each: Console, age: timedelta) -> None:
    await on_each.sign_in(on_each.browser())
    on_each.clock.advance(timedelta(hours=7, minutes=59))
    assert (await left(on_each), living(on_each)) == (1, 1)
    on_each.clock.advance(age - timedelta(hours=7, minutes=59))
    assert (await left(on_each), living(on_each)) == (0, 0)


async def test_a_session_that_is_used_stays(console: Console) -> None:
    browser = console.browser()
    await console.sign_in(browser)
    for _ in range(3):
        console.clock.advance(timedelta(hours=7))
        assert (await browser.get("/me")).status == 200
    assert (await left(console), living(console)) == (1, 1)


async def test_a_session_that_a_new_one_replaced_is_over_and_its_token_dies(
    on_each: Console,
) -> None:
    browser = on_each.browser()
    await on_each.sign_in(browser)
    former = dict(browser.cookies)
    out = on_each.browser()
    out.cookies = {name: value for name, value in former.items() if name != "zekt-session"}
    path = await on_each.at_github(await on_each.go(out))
    await browser.get(path)  # from a second tab, which was opened before
    assert living(on_each) == 2
    assert (await left(on_each), living(on_each)) == (1, 1)
    assert (await browser.get("/me")).status == 200
    browser.cookies = former
    assert (await browser.get("/me")).status == 303


async def test_the_newest_token_dies_of_a_session_that_makes_room(on_each: Console) -> None:
    first = on_each.browser()
    await on_each.sign_in(first)
    on_each.clock.advance(timedelta(hours=7, minutes=55))
    assert (await first.get("/repositories")).status == 200  # and its token is another one
    for _ in range(rows.MOST_SESSIONS):
        on_each.clock.advance(timedelta(minutes=1))
        await on_each.sign_in(on_each.browser())
    assert (await first.get("/me")).status == 303
    most = rows.MOST_SESSIONS
    assert (await left(on_each), living(on_each)) == (most, most)


async def test_the_tokens_of_who_is_blocked_die(console: Console) -> None:
    browser = console.browser()
    await console.sign_in(browser)
    await accounts.block(console.broker, ME, "maja-lind")
    assert (await left(console), living(console)) == (0, 0)
    await accounts.allow(console.broker, ME, "maja-lind")
    assert (await browser.get("/me")).status == 303


async def test_the_tokens_of_who_is_erased_die_at_once(console: Console) -> None:
    await console.sign_in(console.browser())
    await erasure.erase(console.broker, ME, "maja-lind")
    assert living(console) == 0


async def test_the_tokens_of_who_is_erased_while_github_is_down_die_later(
    on_each: Console,
) -> None:
    await on_each.sign_in(on_each.browser())
    on_each.github.fail("DELETE", "/applications/*", status=502)
    await erasure.erase(on_each.broker, ME, "maja-lind")
    (row,) = await stored(on_each.broker.database, sessions)
    assert (row["device"], row["expires_at"], living(on_each)) == ("", on_each.clock.now(), 1)
    assert (await left(on_each), living(on_each)) == (0, 0)


@pytest.mark.parametrize("path", ["/me/delete", "/logout"])
async def test_nobody_waits_for_a_github_that_lets_no_token_die(
    console: Console, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of several no token waits for another."""
    monkeypatch.setattr("zekt_bot.operations.sessions._PATIENCE", 0.1)
    for _ in range(3):
        browser = console.browser()
        await console.sign_in(browser)
    page, free = await browser.get("/me"), asyncio.Event()
    console.github.fail("DELETE", "/applications/*", until=free, when="after", times=3)
    assert (await browser.send(page, path, login="maja-lind")).location == "/login"
    async with asyncio.timeout(60):
        while living(console) > (2 if path == "/logout" else 0):
            await asyncio.sleep(0.01)
    free.set()
    async with asyncio.timeout(60):
        while len(await stored(console.broker.database, sessions)) > (path == "/logout") * 2:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", ["/logout", "/me/sessions/end", "/me/delete"])
async def test_a_token_outlives_no_session_that_was_ended_while_github_was_down(
    on_each: Console, path: str
) -> None:
    browser = on_each.browser()
    await on_each.sign_in(browser)
    kept, page = dict(browser.cookies), await browser.get("/me")
    on_each.github.fail("DELETE", "/applications/*", status=502)
    own = fingerprint(kept["zekt-session"])
    out = await browser.send(page, path, session=own, login="maja-lind")
    assert (out.status, out.location) == (303, "/login")
    browser.cookies = kept
    assert (await browser.get("/me")).status == 303
    assert living(on_each) == 1
    assert (await left(on_each), living(on_each)) == (0, 0)


@pytest.mark.parametrize("refused", [0, 1, 2])
async def test_what_was_renewed_while_its_session_was_ended_dies_too(
    on_each: Console, refused: int
) -> None:
    """Whether GitHub revokes it when it is asked to, or not until later."""
    browser, github, free = on_each.browser(), on_each.github, asyncio.Event()
    await on_each.sign_in(browser)
    page = await browser.get("/me")
    on_each.clock.advance(timedelta(hours=7, minutes=55))
    github.fail("POST", "/login/oauth/access_token", until=free, when="after")
    asking = asyncio.create_task(browser.get("/repositories"))
    while len(github.core.people.tokens) < 2:
        await asyncio.sleep(0.01)
    # So that signing out does not wait for the renewal too.
    on_each.broker.roles.note_asked(fingerprint(browser.cookies["zekt-session"]))
    if refused:
        github.fail("DELETE", "/applications/*", status=502, times=refused)
    assert (await browser.send(page, "/logout")).location == "/login"
    free.set()
    assert (await asking).location == "/login?next=/repositories&ended=1"
    assert refused or living(on_each) == 0
    assert (await left(on_each), living(on_each)) == (0, 0)


async def test_a_sign_in_that_cannot_be_stored_leaves_no_token(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, browser = console.broker.database.write, console.browser()

    async def away(fn: Any, row: Any, **more: Any) -> Any:
        if fn is rows.start:
            raise StorageUnavailable
        return await write(fn, row, **more)

    monkeypatch.setattr(console.broker.database, "write", away)
    assert (await console.sign_in(browser)).status == 503
    assert len(console.github.core.people.tokens) == 1
    assert living(console) == 0


@pytest.mark.parametrize("asked", ["POST /login/oauth/access_token", "DELETE /applications/*"])
async def test_what_github_does_not_do_is_tried_again(on_each: Console, asked: str) -> None:
    await on_each.sign_in(on_each.browser())
    on_each.clock.advance(timedelta(hours=9))
    on_each.github.fail(*asked.split(), status=502)
    assert (await left(on_each), living(on_each)) == (1, 1)
    assert (await left(on_each), living(on_each)) == (0, 0)


async def test_one_token_that_github_refuses_to_revoke_holds_up_no_other(console: Console) -> None:
    for _ in range(3):
        await console.sign_in(console.browser())
    console.clock.advance(timedelta(hours=9))
    console.github.fail("DELETE", "/applications/*", status=403)
    assert (await left(console), living(console)) == (1, 1)
    assert (await left(console), living(console)) == (0, 0)


async def test_more_than_a_batch_of_them_goes_at_once(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zekt_bot.operations.sessions._BATCH", 2)
    for _ in range(5):
        await console.sign_in(console.browser())
    console.clock.advance(timedelta(hours=9))
    assert (await left(console), living(console)) == (0, 0)


async def test_a_token_that_nobody_can_open_any_more_holds_up_no_other(console: Console) -> None:
    await console.sign_in(console.browser())
    await console.sign_in(console.browser())
    console.clock.advance(timedelta(hours=9))

    first = (await stored(console.broker.database, sessions))[0]["hash"]
    await console.broker.database.write(spoil, first)
    assert (await left(console), living(console)) == (0, 1)


@pytest.mark.parametrize("days", [30, 5, 0])
async def test_an_app_that_is_gone_keeps_no_session_for_longer_than_set(
    migrated_url: str, clock: ManualClock, days: int
) -> None:
    async with open_console(migrated_url, clock, ended_session_days=days) as console:
        await console.sign_in(console.browser())
        console.github.fail("POST", "/login/oauth/access_token", status=502, times=9)
        console.clock.advance(timedelta(days=7 + days - 1))
        assert await left(console) == 1
        console.clock.advance(timedelta(days=2 if days else 1000))
        assert await left(console) == (0 if days else 1)  # 0: for ever


async def test_a_token_waits_for_a_client_secret_that_github_knows(console: Console) -> None:
    browser = console.browser()
    await console.sign_in(browser)
    secret, console.oauth.client_secret = console.oauth.client_secret, "another"
    console.clock.advance(timedelta(hours=7, minutes=55))
    page = await browser.get("/repositories")
    assert (page.status, "incorrect_client_credentials" in page.words) == (503, True)
    assert (await browser.get("/me")).status == 200
    console.clock.advance(timedelta(hours=9))
    assert (await left(console), living(console)) == (1, 1)
    console.oauth.client_secret = secret
    assert (await left(console), living(console)) == (0, 0)
