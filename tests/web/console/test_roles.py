"""Every page, and what it answers to whom: a new page has to be entered here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.web.console.console import open_console
from zekt_bot.web.console.routes import PAGES

if TYPE_CHECKING:
    import pytest

    from tests.web.console.browsing import Browser
    from zekt_bot.testing import ManualClock
    from zekt_bot.web.console.gate import Page

# anonymous, somebody who signed in, an operator
MATRIX: dict[tuple[str, str], tuple[int, int, int]] = {
    ("GET", "/"): (303, 303, 303),
    ("GET", "/login"): (200, 303, 303),
    ("POST", "/login"): (303, 303, 303),
    ("GET", "/auth/github/callback"): (403, 403, 403),
    ("GET", "/welcome"): (303, 200, 200),
    ("POST", "/welcome"): (303, 400, 400),
    ("GET", "/apps"): (303, 403, 200),
    ("GET", "/me"): (303, 200, 200),
    ("POST", "/me/sessions/end"): (303, 404, 404),
    ("POST", "/preferences/theme"): (303, 303, 303),
    ("GET", "/repositories"): (303, 200, 200),
    ("GET", "/repositories/aurora-labs/api/enable"): (303, 404, 404),
    ("POST", "/repositories/aurora-labs/api/enable"): (303, 400, 400),
    ("GET", "/consent"): (303, 200, 200),
    ("GET", "/consent/aurora-labs/export"): (303, 404, 404),
    ("GET", "/consent/aurora-labs/delete"): (303, 404, 404),
    ("POST", "/consent/aurora-labs/delete"): (303, 404, 404),
    ("GET", "/setup"): (403, 403, 303),
    ("POST", "/setup/enter"): (403, 403, 403),
    ("GET", "/setup/address"): (403, 403, 200),
    ("GET", "/setup/operator"): (403, 403, 200),
    ("POST", "/setup/operator"): (403, 403, 303),
    ("GET", "/setup/accounts"): (403, 403, 200),
    ("POST", "/setup/accounts"): (403, 403, 422),
    ("GET", "/setup/install"): (403, 403, 200),
    ("GET", "/setup/installed"): (200, 303, 303),
    ("GET", "/setup/check"): (403, 403, 200),
    ("POST", "/setup/finish"): (403, 403, 409),
    ("GET", "/setup/done"): (303, 303, 303),
    ("GET", "/setup/created/oauth"): (403, 403, 409),
    ("GET", "/setup/oauth"): (403, 403, 200),
    ("POST", "/setup/oauth"): (403, 403, 409),
    ("GET", "/setup/oauth/forget"): (403, 403, 200),
    ("POST", "/setup/oauth/forget"): (403, 403, 303),
    ("POST", "/logout"): (303, 303, 303),
}


async def test_every_page_lets_in_whom_the_table_says(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    assert set(MATRIX) == {(page.method, _plain(page.path)) for page in PAGES}
    async with open_console(migrated_sqlite, clock, operators=("ada",)) as console:
        console.github.account("ada", "User")
        people = [console.browser() for _ in range(3)]
        await console.sign_in(people[1])
        await console.sign_in(people[2], "ada")
        for (method, path), wanted in MATRIX.items():
            assert tuple([await _status(one, method, path) for one in people]) == wanted, path


def _plain(path: str) -> str:
    path = path.replace("{app:oauth|orchestrator}", "oauth")
    path = path.replace("{login}", "aurora-labs")
    return path.replace("{owner}/{name}/{verb:enable|disable}", "aurora-labs/api/enable")


async def _status(browser: Browser, method: str, path: str) -> int:
    if method == "GET":
        return (await browser.get(path)).status
    signed_in = "zekt-session" in browser.cookies
    page = await browser.get("/me" if signed_in else "/login")
    return (await browser.send(page, path)).status


async def test_no_form_is_taken_without_its_token(migrated_sqlite: str, clock: ManualClock) -> None:
    async with open_console(migrated_sqlite, clock, operators=("maja-lind",)) as console:
        browser = console.browser()
        await console.sign_in(browser)
        for page in PAGES:
            if page.method == "POST":
                assert (await browser.post(_plain(page.path), {})).status == 403, page.path
        assert (await browser.get("/me")).status == 200


async def test_a_page_of_operators_is_theirs_alone(
    migrated_sqlite: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page of this kind is here yet, but the gate before it is."""
    me = next(page for page in PAGES if (page.method, page.path) == ("GET", "/me"))
    theirs: Page = me._replace(path="/operate", needs="operator")
    monkeypatch.setattr("zekt_bot.web.server.PAGES", (*PAGES, theirs))
    async with open_console(migrated_sqlite, clock, operators=("ada",)) as console:
        console.github.account("ada", "User")
        browser, operator = console.browser(), console.browser()
        assert (await browser.get("/operate")).status == 303
        await console.sign_in(browser)
        await console.sign_in(operator, "ada")
        refused = await browser.get("/operate")
        assert (refused.status, "Not yours to see" in refused.words) == (403, True)
        assert (await operator.get("/operate")).status == 200
