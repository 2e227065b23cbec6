"""Repositories: what GitHub says that one manages, and nothing of what one may not see."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.stage import ME
from tests.web.console.console import Console, open_console
from tests.web.console.org import Org
from zekt_bot.operations import installations, repositories

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.web.console.browsing import Browser
    from zekt_bot.testing import ManualClock

ORCHESTRATOR, SIGN_IN = "zekt-orchestrator-app", "zekt-sign-in"


async def test_one_sees_what_one_administers_or_maintains(org: Org) -> None:
    browser = await org.browser()
    page = await browser.get("/repositories")
    assert page.status == 200
    assert "aurora-labs Organization 2 repositories that you manage" in page.words
    assert page.words.index("docs Private Disabled") < page.words.index("payments-api Private")
    assert "not-theirs" not in page.text
    assert page.install_links == [
        ("Install on more repositories", ORCHESTRATOR),
        ("install", ORCHESTRATOR),
        ("install", SIGN_IN),
    ]


async def test_a_repository_is_enabled_changed_and_disabled(org: Org) -> None:
    browser = await org.browser()
    path = "/repositories/aurora-labs/docs"
    ask = await browser.get(f"{path}/enable")
    assert (await browser.send(ask, f"{path}/enable", part="provider")).location == "/repositories"
    assert "docs Private Provider Not in use" in (await browser.get("/repositories")).words
    refused = await browser.send(ask, f"{path}/enable", part="emperor")
    assert refused.status == 400
    await browser.send(ask, f"{path}/enable", part="both")
    both = await browser.get("/repositories?state=both")
    assert "Provider and consumer" in both.words
    assert "Better as two repositories. Why It can start itself" in both.words
    await browser.send(ask, f"{path}/enable", part="consumer")
    assert "docs Private Consumer" in (await browser.get("/repositories")).words
    ask = await browser.get(f"{path}/disable")
    assert "Nothing reaches it any more" in ask.words
    await browser.send(ask, f"{path}/disable", part="neither")
    assert "docs Private Disabled" in (await browser.get("/repositories")).words


@pytest.mark.parametrize(
    ("view", "order"),
    [
        ("provider", ["zulu/z-provider", "aurora-labs/docs", "aurora-labs/payments-api"]),
        ("consumer", ["aurora-labs/payments-api", "aurora-labs/docs", "zulu/z-provider"]),
        ("both", ["aurora-labs/docs", "aurora-labs/payments-api", "zulu/z-provider"]),
    ],
)
async def test_what_one_chose_to_see_comes_first(org: Org, view: str, order: list[str]) -> None:
    github, broker = org.console.github, org.console.broker
    zulu = github.account("zulu")
    there = github.repository(zulu, "z-provider", private=True)
    github.grant(there, org.console.maja, "admin")
    for app in (org.console.orchestrator, org.console.oauth):
        await github.install(app, zulu)
    await repositories.enable(broker, ME, there.full_name)
    await repositories.take_part(broker, ME, "aurora-labs/payments-api", ["consumer"])
    browser = await org.browser()
    welcome = await browser.get("/welcome")
    await browser.send(welcome, "/welcome", view=view)
    page = await browser.get((await browser.get("/")).location)
    shown = re.findall(r'aria-label="(?:Enable|Disable) ([^" ]+)', page.text)
    assert shown == order


async def answers(org: Org, browser: Browser, name: str) -> list[tuple[int, str]]:
    """What is said of a repository, wherever one can name it."""
    listed, path = await browser.get("/me"), f"/repositories/aurora-labs/{name}"
    seen = [
        await browser.get(f"/repositories?name=aurora-labs/{name}"),
        await browser.get(f"{path}/enable"),
        await browser.send(listed, f"{path}/enable", part="both"),
        await browser.send(listed, f"{path}/disable", part="neither"),
    ]
    return [(each.status, each.words.replace(name, "NAME")) for each in seen]


@pytest.mark.parametrize("login", ["maja-lind", "eve"])
@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize(
    "happens", ["nothing", "suspended", "removed", "limited", "outage", "later outage"]
)
async def test_what_one_may_not_see_is_not_there(
    org: Org, login: str, happens: str, heard: bool
) -> None:
    """Be it there or not, whatever befell the installation, and whether Zekt knows of it or not."""
    github, broker = org.console.github, org.console.broker
    github.account("eve", "User")
    hidden = github.repository(org.org, "secret", private=True)
    await repositories.enable(broker, ME, hidden.full_name)
    github.repository(org.org, "new-secret", private=True)  # Zekt has not met it
    browser = org.console.browser()
    await org.console.sign_in(browser, login)
    if happens == "suspended":
        await github.suspend(org.installed)
    if happens == "removed":
        await github.uninstall(org.installed)
    if heard:
        await installations.look(
            broker, org.installed.id, [hidden.id], "github:repository:confirmed"
        )
    if happens == "limited":
        org.installed.rate_limit = 0
    if happens == "later outage":  # what was just said is kept for a minute
        assert {status for status, _ in await answers(org, browser, "secret")} == {200, 404}
    if "outage" in happens:
        github.fail("GET", "*", status=502, times=1000)
    absent = await answers(org, browser, "no-such")
    assert {status for status, _ in absent[1:]} == {503 if happens == "outage" else 404}
    assert await answers(org, browser, "secret") == absent
    assert await answers(org, browser, "new-secret") == absent


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize(
    ("happens", "said"),
    [
        ("suspended", "suspended there: nothing can be changed until an owner lifts it"),
        ("removed", "not installed there any more"),
    ],
)
async def test_to_whom_it_belongs_is_told_why_it_cannot_be_changed(
    org: Org, happens: str, said: str, private: bool
) -> None:
    github, path = org.console.github, "/repositories/aurora-labs/docs"
    org.docs.private = private
    await (github.suspend if happens == "suspended" else github.uninstall)(org.installed)
    verb = "github:repository:confirmed"
    await installations.look(org.console.broker, org.installed.id, [org.docs.id], verb)
    browser = await org.browser()
    form = await browser.get("/me")
    for seen in (
        await browser.get(f"{path}/enable"),
        await browser.send(form, f"{path}/enable", part="provider"),
        await browser.send(form, f"{path}/disable", part="neither"),
    ):
        assert (seen.status, said in seen.words) == (409, True)
    found = await browser.get("/repositories?name=aurora-labs/docs&state=both")
    assert found.status == 200


@pytest.mark.parametrize("name", ["docs", "new"])
async def test_to_whom_it_belongs_is_told_that_github_does_not_answer(org: Org, name: str) -> None:
    """The App may have asked all that it may in this hour."""
    github = org.console.github
    if name == "new":
        github.grant(github.repository(org.org, "new", private=True), org.console.maja, "admin")
    org.installed.rate_limit = 0
    browser, path = await org.browser(), f"/repositories/aurora-labs/{name}/enable"
    form = await browser.get("/me")
    for seen in (await browser.get(path), await browser.send(form, path, part="both")):
        assert (seen.status, "GitHub does not answer" in seen.words) == (503, True)


async def test_who_only_writes_changes_nothing(org: Org) -> None:
    browser = await org.browser()
    listed = await browser.get("/repositories")
    path = "/repositories/aurora-labs/not-theirs/enable"
    refused = await browser.send(listed, path, part="provider")
    assert (refused.status, "Not yours to change" in refused.words) == (403, True)
    found = await browser.get("/repositories?name=aurora-labs/not-theirs")
    assert "may not read this repository" in found.words


async def test_who_is_removed_loses_the_page_within_a_minute(org: Org) -> None:
    browser = await org.browser()
    assert "docs Private" in (await browser.get("/repositories")).words
    asked = org.asked()
    org.docs.roles.clear()
    assert "docs Private" in (await browser.get("/repositories")).words
    assert org.asked() == asked
    org.console.clock.advance(timedelta(seconds=60))
    assert "docs Private" not in (await browser.get("/repositories")).words
    assert (await browser.get("/repositories/aurora-labs/docs/enable")).status == 404


async def test_filters_and_a_name_that_no_list_shows(org: Org) -> None:
    await org.console.github.uninstall(org.signing_in)
    browser = await org.browser()
    page = await browser.get("/repositories")
    assert "No repositories yet" in page.words
    assert "An organization is missing?" in page.words
    assert page.install_links[:2] == [
        ("Install the orchestration app", ORCHESTRATOR),
        ("Install the sign-in app", SIGN_IN),
    ]
    found = await browser.get("/repositories?name=aurora-labs/docs")
    assert "found by its name" in found.words
    assert found.install_links[0] == ("Install the sign-in app", SIGN_IN)
    ask = await browser.get("/repositories/aurora-labs/docs/enable")
    assert ask.status == 200
    for query in ("name=aurora-labs/", "name=no-such", "state=both"):
        nothing = await browser.get(f"/repositories?{query}")
        assert "Nothing fits these filters" in nothing.words


async def test_filters_narrow_the_list(org: Org) -> None:
    browser = await org.browser()
    page = await browser.get("/repositories?name=pay&owner=aurora-labs&state=disabled")
    assert "payments-api" in page.words
    assert "docs Private" not in page.words
    assert 'value="pay"' in page.text
    assert (await browser.get("/repositories?owner=kestrel-bank")).words.count("payments-api") == 0


async def test_where_the_orchestration_app_is_missing_it_is_named(org: Org) -> None:
    github = org.console.github
    bank = github.account("kestrel-bank")
    for number in range(100):  # what they manage stands on the second page of GitHub's list
        github.grant(github.repository(bank, f"other-{number}"), org.console.maja, "write")
    github.grant(github.repository(bank, "core", private=True), org.console.maja, "admin")
    await github.install(org.console.oauth, bank)
    browser = await org.browser()
    page = await browser.get("/repositories")
    assert "kestrel-bank : you manage repositories there" in page.words
    assert ("Install at GitHub", ORCHESTRATOR) in page.install_links


@pytest.mark.parametrize("app", ["oauth", "orchestrator"])
async def test_a_suspended_installation(org: Org, app: str) -> None:
    await org.console.github.suspend(org.signing_in if app == "oauth" else org.installed)
    if app == "orchestrator":
        await installations.look(
            org.console.broker,
            org.installed.id,
            [org.api.id, org.docs.id],
            "github:repository:confirmed",
        )
    browser = await org.browser()
    page = await browser.get("/repositories")
    assert ("Suspended at GitHub" in page.words) is (app == "orchestrator")
    assert page.status == 200


async def test_github_s_outage_is_said(org: Org) -> None:
    browser = await org.browser()
    org.console.github.fail("GET", "/user/installations", status=502)
    page = await browser.get("/repositories?name=docs")
    assert (page.status, "GitHub does not answer" in page.words) == (503, True)
    assert 'href="/repositories?name=docs">Try again<' in page.text
    assert (await browser.get("/repositories")).status == 200


async def test_whose_authorization_is_gone_is_led_to_the_door(org: Org) -> None:
    browser = await org.browser()
    with org.console.github.outage():
        await org.console.github.revoke_authorization(org.console.oauth, org.console.maja)
    left = await browser.get("/repositories")
    assert left.location == "/login?next=/repositories&ended=1"
    assert (await browser.get("/me")).status == 303


@pytest.fixture
async def classic(migrated_sqlite: str, clock: ManualClock) -> AsyncIterator[Console]:
    async with open_console(migrated_sqlite, clock, classic=True) as console:
        yield console


async def test_with_a_classic_oauth_app_one_sees_what_its_token_does(classic: Console) -> None:
    org = await Org(classic).found()
    assert "scope repo , which could also write" in (await classic.browser().get("/login")).words
    browser = await org.browser()
    page = await browser.get("/repositories")
    assert "aurora-labs Organization 2 repositories that you manage" in page.words
    assert org.asked() == 0


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"two_factor_authentication": False}, "GitHub says that your account has none."),
        ({"two_factor_authentication": None}, "GitHub does not say whether your account has it."),
        ({}, "GitHub does not say whether your account has it."),
    ],
)
async def test_two_factor_sign_in_can_be_demanded_with_a_classic_one(
    migrated_sqlite: str, clock: ManualClock, told: dict[str, object], said: str
) -> None:
    async with open_console(migrated_sqlite, clock, classic=True, require_2fa=True) as console:
        body = {"id": console.maja.id, "login": "maja-lind", **told}
        console.github.fail("GET", "/user", status=200, body=body)
        refused = await console.sign_in(console.browser())
        assert (refused.status, said in refused.words) == (403, True)
        (token,) = console.github.core.people.tokens.values()
        assert token.revoked


async def test_a_classic_one_shows_whether_two_factor_sign_in_is_on(classic: Console) -> None:
    browser, path = classic.browser(), "/me"
    await classic.sign_in(browser)
    assert "Two-factor sign-in is off" in (await browser.get(path)).words
    classic.github.require_code(classic.maja, "123456")
    assert "Two-factor sign-in is on" in (await browser.get(path)).words
    classic.github.fail("GET", "/user", status=502)
    assert "GitHub did not say now" in (await browser.get(path)).words
    classic.github.fail("GET", "/user", body={"login": "maja-lind"}, status=200)
    assert "GitHub did not say now" in (await browser.get(path)).words


async def test_with_a_classic_one_the_organizations_count(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    whose = ("aurora-labs",)
    async with open_console(
        migrated_sqlite, clock, classic=True, allowed_people_of=whose
    ) as console:
        org = console.github.account("aurora-labs")
        assert (await console.sign_in(console.browser())).status == 403
        org.members = {console.maja.id: "member"}
        assert (await console.sign_in(console.browser())).status == 303
