"""Who may sign in, who is an operator, and who is shut out or erased."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.db.rows import stored
from tests.web.console.console import Console, open_console
from zekt_bot.db.tables import metadata, people, sessions
from zekt_bot.domain.access import Operator, Person
from zekt_bot.operations import accounts, erasure, setup

if TYPE_CHECKING:
    from zekt_bot.testing import ManualClock

ME = Operator("cli:me@here")


@pytest.mark.parametrize(
    ("settings", "told", "enters"),
    [
        ({"allowed_people": ("maja-lind",)}, "", True),
        ({"allowed_people": ("ada",)}, "people whom its operator listed", False),
        ({"allowed_people": ("ada",), "operators": ("maja-lind",)}, "", True),
        ({"allowed_people_of": ("aurora-labs",)}, "", True),
        ({"allowed_people_of": ("kestrel-bank",)}, "people of kestrel-bank", False),
    ],
)
async def test_the_settings_say_who_may_sign_in(
    migrated_sqlite: str, clock: ManualClock, settings: Any, told: str, enters: bool
) -> None:
    async with open_console(migrated_sqlite, clock, **settings) as console:
        org = console.github.account("aurora-labs")
        api = console.github.repository(org, "payments-api", private=True)
        console.github.grant(api, console.maja, "write")
        await console.github.install(console.oauth, org)
        browser = console.browser()
        back = await console.sign_in(browser)
        assert (back.status == 303) is enters
        if enters:
            return
        assert f"maja-lind may not sign in here. This server is open to {told};" in back.words
        assert await stored(console.broker.database, sessions) == []
        assert await stored(console.broker.database, people) == []
        (token,) = console.github.core.people.tokens.values()
        assert token.revoked


async def test_a_login_that_was_given_up_makes_nobody_an_operator(
    migrated_url: str, clock: ManualClock
) -> None:
    async with open_console(
        migrated_url, clock, operators=("maja-lind",), allowed_people=("ada",)
    ) as console:
        await console.sign_in(console.browser())
        console.maja.login = "maja-moved"
        console.github.account("maja-lind", "User")

        refused = await console.sign_in(console.browser())

        assert (refused.status, "may not sign in here" in refused.words) == (403, True)
        browser = console.browser()
        assert (await console.sign_in(browser, "maja-moved")).status == 303
        assert "Operator of this server" in (await browser.get("/me")).words


async def test_an_account_that_took_a_listed_login_lets_nobody_in(
    migrated_url: str, clock: ManualClock
) -> None:
    async with open_console(migrated_url, clock, allowed_people_of=("aurora-labs",)) as console:
        org = console.github.account("aurora-labs")
        api = console.github.repository(org, "payments-api", private=True)
        console.github.grant(api, console.maja, "write")
        await console.github.install(console.oauth, org)
        assert (await console.sign_in(console.browser())).status == 303

        org.login = "aurora-moved"
        eve, taken = console.github.account("eve", "User"), console.github.account("aurora-labs")
        console.github.grant(console.github.repository(taken, "trap", private=True), eve, "admin")
        await console.github.install(console.oauth, taken)

        assert (await console.sign_in(console.browser(), "eve")).status == 403
        assert (await console.sign_in(console.browser())).status == 303


async def test_who_is_blocked_is_out_at_once_and_comes_in_no_more(console: Console) -> None:
    browser = console.browser()
    await console.sign_in(browser)
    await accounts.block(console.broker, ME, "maja-lind")
    assert (await browser.get("/me")).location == "/login?next=/me&ended=1"
    refused = await console.sign_in(console.browser())
    assert (refused.status, "is shut out of this server" in refused.words) == (403, True)
    token = list(console.github.core.people.tokens.values())[-1]
    assert token.revoked
    await accounts.allow(console.broker, ME, "maja-lind")
    assert (await console.sign_in(console.browser())).status == 303


async def test_who_only_signed_in_can_be_erased_and_operates_nothing_then(
    console: Console,
) -> None:
    browser = console.browser()
    await console.sign_in(browser)
    maja = Person(console.maja.id, "maja-lind")
    await setup.become_operator(console.broker, ME, maja)
    assert "Operator of this server" in (await browser.get("/me")).words
    assert await erasure.erase(console.broker, ME, "Maja-Lind") == maja.id
    for table in metadata.sorted_tables:
        assert "maja-lind" not in repr(await stored(console.broker.database, table)).lower()
    assert (await browser.get("/me")).status == 303
    assert (await console.sign_in(console.browser())).status == 403
    assert await stored(console.broker.database, people) == []
