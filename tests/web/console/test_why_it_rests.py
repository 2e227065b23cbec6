"""Repositories: why one rests and what to do, who is waited for, and what is missing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.stage import ME
from zekt_bot.operations import accounts, badges, installations, lapses
from zekt_bot.web.console.repositories import MOST_QUESTIONS

if TYPE_CHECKING:
    from tests.web.console.org import Org


async def look(org: Org) -> None:
    """Zekt hears how the installation stands."""
    ids = [org.api.id, org.docs.id]
    verb = "github:repository:confirmed"
    await installations.look(org.console.broker, org.installed.id, ids, verb)


async def test_what_is_archived_says_where_that_is_undone(org: Org) -> None:
    await org.enable("docs")
    await org.console.github.archive(org.docs)
    await look(org)
    browser = await org.browser()
    page = await browser.get("/repositories")
    assert "docs Private Nothing is sent to it while it is archived; after" in page.words
    assert f'href="{org.console.github.web_url}/aurora-labs/docs/settings"' in page.text
    assert 'href="/repositories/aurora-labs/docs/disable"' in page.text
    await browser.send(page, "/repositories/aurora-labs/docs/disable", part="neither")
    assert "its data is deleted" not in (await browser.get("/repositories")).words


async def test_what_was_taken_out_stays_in_the_list_with_the_way_back(org: Org) -> None:
    await org.enable("docs")
    await org.console.github.remove_repositories(org.installed, org.docs)
    await look(org)
    await lapses.purge(org.console.broker)
    page = await (await org.browser()).get("/repositories")
    assert "docs Private GitHub does not share it with Zekt any more; after" in page.words
    where = f"/organizations/aurora-labs/settings/installations/{org.installed.id}"
    assert page.text.count(where) == 2
    assert "of those selected at GitHub" in page.words


async def test_what_is_being_deleted_stays_in_the_list_until_it_is(org: Org) -> None:
    await org.enable("docs")
    await org.console.github.remove_repositories(org.installed, org.docs)
    await look(org)
    browser = await org.browser()
    ask = await browser.get("/consent/aurora-labs/delete")
    await browser.send(ask, "/consent/aurora-labs/delete", account="aurora-labs")
    assert (
        "docs Private What Zekt stored of it is being deleted."
        in (await browser.get("/repositories")).words
    )
    await lapses.finish(org.console.broker)
    assert "docs Private" not in (await browser.get("/repositories")).words


async def test_a_suspended_account_says_since_when_and_until_when(org: Org) -> None:
    await org.enable("docs")
    await org.console.github.suspend(org.installed)
    await look(org)
    await lapses.purge(org.console.broker)
    org.console.clock.advance(timedelta(days=2))
    github, console = org.console.github, org.console
    well = github.repository(github.account("aaa-corp"), "site", private=True)
    github.grant(well, console.maja, "admin")
    await github.install(console.oauth, well.owner)
    there = await github.install(console.orchestrator, well.owner)
    await installations.look(console.broker, there.id, [well.id], "github:repository:confirmed")
    page = await (await org.browser()).get("/repositories")
    assert page.words.index("Suspended at GitHub since") < page.words.index("aaa-corp Organ")
    gone = org.console.clock.now() + timedelta(days=28)
    assert f"after {gone.day} {gone:%b}" in page.words


async def test_a_removed_and_a_blocked_account_say_so(org: Org) -> None:
    await accounts.block(org.console.broker, ME, "aurora-labs")
    browser = await org.browser()
    assert "aurora-labs is not admitted here" in (await browser.get("/repositories")).words
    await accounts.allow(org.console.broker, ME, "aurora-labs")
    await org.console.github.uninstall(org.installed)
    await look(org)
    assert "aurora-labs removed Zekt Nothing" in (await browser.get("/repositories")).words


async def test_a_verified_organization_has_its_badge(org: Org) -> None:
    browser = await org.browser()
    assert "Verified organization" not in (await browser.get("/repositories")).words
    org.org.verified = True
    await badges.look(org.console.broker)
    for path in ("/repositories", "/consent"):
        assert "Verified organization" in (await browser.get(path)).words


async def test_who_asked_for_the_app_sees_that_an_owner_is_waited_for(org: Org) -> None:
    world, bank = org.console.github.core.world, org.console.github.account("kestrel-bank")
    eve = org.console.github.account("eve", "User")
    world.request(org.console.orchestrator, bank, org.console.maja)
    world.request(org.console.orchestrator, org.console.github.account("other-org"), eve)
    browser = await org.browser()
    page = await browser.get("/repositories?setup_action=request")
    assert "kestrel-bank Waiting for an owner" in page.words
    assert "Waiting for an owner of kestrel-bank Asked" in page.words
    assert "other-org" not in page.text
    await org.console.github.install(org.console.orchestrator, bank)
    org.console.clock.advance(timedelta(minutes=1))
    assert "kestrel-bank" not in (await browser.get("/repositories")).words


async def test_without_github_s_list_of_requests_the_page_is_there(org: Org) -> None:
    browser = await org.browser()
    org.console.github.fail("GET", "/app/installation-requests", status=502)
    page = await browser.get("/repositories?setup_action=request")
    assert (page.status, "docs Private" in page.words) == (200, True)
    assert "GitHub does not confirm that request yet" in page.words


@pytest.mark.parametrize("number", ["", "x", "9" * 40, "1"])
async def test_what_github_does_not_confirm_is_not_said(org: Org, number: str) -> None:
    browser = await org.browser()
    query = f"setup_action=install&installation_id={number}"
    page = await browser.get(f"/repositories?{query}")
    assert "GitHub does not confirm that installation yet" in page.words
    assert "Installed on" not in page.words


async def test_back_from_github_what_was_installed_is_said(org: Org) -> None:
    github, browser = org.console.github, await org.browser()
    await browser.get("/repositories")
    new = github.repository(org.org, "brand-new", private=True)
    github.grant(new, org.console.maja, "admin")
    back = f"/setup/installed?setup_action=update&installation_id={org.installed.id}"
    sent = await browser.get(back)
    assert sent.location == back.replace("/setup/installed", "/repositories")
    page = await browser.get(sent.location)
    assert "Installed on 2 repositories of aurora-labs" in page.words
    stranger = await org.console.browser().get(back)
    assert (stranger.status, "Back from GitHub" in stranger.words) == (200, True)


async def test_where_the_selections_differ_it_is_said(org: Org) -> None:
    github = org.console.github
    new = github.repository(org.org, "brand-new", private=True)
    github.grant(new, org.console.maja, "admin")
    assert "brand-new" not in (await (await org.browser()).get("/repositories")).text
    await github.remove_repositories(org.installed, new)
    await look(org)
    page = await (await org.browser()).get("/repositories")
    assert "aurora-labs/brand-new : the sign-in app sees it" in page.words
    await github.remove_repositories(org.signing_in, new)
    org.console.clock.advance(timedelta(minutes=1))
    page = await (await org.browser()).get("/repositories")
    assert "aurora-labs : the sign-in app was given selected repositories" in page.words
    assert "brand-new" not in page.text
    where = f"/organizations/aurora-labs/settings/installations/{org.signing_in.id}"
    assert where in page.text


async def test_on_one_s_own_account_the_other_app_is_missed(org: Org) -> None:
    github, maja = org.console.github, org.console.maja
    own = github.repository(maja, "lab-notes", private=True)
    mine = await github.install(org.console.orchestrator, maja)
    verb = "github:repository:confirmed"
    await installations.look(org.console.broker, mine.id, [own.id], verb)
    browser = await org.browser()
    page = await browser.get("/repositories")
    assert "the orchestration app is installed on your own account" in page.words
    for path in ("/repositories", "/consent"):
        page = await browser.get(path)
        assert "The sign-in app is not on your own account The orchestration app is" in page.words
        assert ("Install the sign-in app", "zekt-sign-in") in page.install_links
    await github.install(org.console.oauth, maja)
    org.console.clock.advance(timedelta(minutes=1))
    page = await browser.get("/repositories")
    assert "lab-notes Private Disabled" in page.words
    assert "installed on your own account" not in page.words


async def test_a_repository_that_is_new_to_zekt_is_found_by_its_name(org: Org) -> None:
    github = org.console.github
    new = github.repository(org.org, "brand-new", private=True)
    github.grant(new, org.console.maja, "admin")
    browser = await org.browser()
    found = await browser.get("/repositories?name=aurora-labs/brand-new")
    assert "brand-new Private Disabled" in found.words
    assert (await browser.get("/repositories/aurora-labs/brand-new/enable")).status == 200
    github.repository(org.org, "secret", private=True)
    for name in ("secret", "no-such"):
        nothing = await browser.get(f"/repositories?name=aurora-labs/{name}")
        assert f"Zekt knows no aurora-labs/{name} that you manage." in nothing.words


async def test_what_costs_github_much_is_asked_so_often_only(org: Org) -> None:
    browser = await org.browser()
    paths = (
        "/repositories?name=aurora-labs/no-such",
        "/repositories?setup_action=install&installation_id=1",
        "/repositories/aurora-labs/no-such/enable",
        "/consent/aurora-labs/export",
    )
    for number in range(MOST_QUESTIONS):
        assert (await browser.get(paths[number % len(paths)])).status in {200, 404}
    for path in paths:
        refused = await browser.get(path)
        assert (refused.status, "Too fast" in refused.words) == (429, True)
        assert refused.headers["Retry-After"] == "60"
    assert (await browser.get("/repositories")).status == 200
    org.console.clock.advance(timedelta(minutes=1))
    assert (await browser.get(paths[0])).status == 200


async def test_what_the_list_shows_is_no_question(org: Org) -> None:
    """Who enables one repository after the other looks at each; GitHub need not be asked again."""
    browser, path = await org.browser(), "/repositories/aurora-labs/docs/enable"
    assert (await browser.get("/repositories")).status == 200
    asked = len(org.console.github.requests)
    for _ in range(MOST_QUESTIONS + 1):
        ask = await browser.get(path)
        assert ask.status == 200
    assert len(org.console.github.requests) == asked
    assert (await browser.send(ask, path, part="provider")).location == "/repositories"


_SENT: tuple[tuple[str, dict[str, str]], ...] = (
    ("/repositories/aurora-labs/docs/enable", {"part": "provider"}),
    ("/repositories/aurora-labs/docs/disable", {"part": "neither"}),
    ("/consent/aurora-labs/delete", {"account": "aurora-labs"}),
)


async def test_what_is_sent_counts_as_a_question_like_what_is_looked_at(org: Org) -> None:
    """Else a stranger could use up what GitHub allows an organization's installation in an hour."""
    github = org.console.github
    github.account("eve", "User")
    eve = org.console.browser()
    await org.console.sign_in(eve, "eve")
    form = await eve.get("/me")
    for number in range(MOST_QUESTIONS):
        path, fields = _SENT[number % len(_SENT)]
        assert (await eve.send(form, path, **fields)).status == 404
    asked = len(github.requests)
    for path, fields in _SENT:
        refused = await eve.send(form, path, **fields)
        assert (refused.status, "Too fast" in refused.words) == (429, True)
        assert refused.headers["Retry-After"] == "60"
    assert len(github.requests) == asked


async def test_what_a_stranger_names_costs_no_installation_a_request(org: Org) -> None:
    """Who is asked without a token, 60 times an hour, is then asked with an installation's."""
    github, eve = org.console.github, org.console.browser()
    github.account("eve", "User")
    await org.console.sign_in(eve, "eve")
    page = await eve.get("/repositories")
    assert page.status == 200
    asked = len(github.requests)
    for name in ("nobody/nothing", "aurora-labs/nothing"):
        assert (await eve.get(f"/repositories/{name}/enable")).status == 404
        assert (await eve.send(page, f"/repositories/{name}/disable", part="neither")).status == 404
    paths = [one.path for one in github.requests[asked:]]
    wanted = ["/repos/nobody/nothing/installation", "/repos/aurora-labs/nothing/installation"]
    assert sorted(paths) == sorted(wanted * 2)


async def test_an_enterprise_which_has_no_login_hides_no_repository(org: Org) -> None:
    row = {"id": org.signing_in.id, "account": {"slug": "big-corp"}, "suspended_at": None}
    listed = {"total_count": 1, "installations": [row]}
    org.console.github.fail("GET", "/user/installations", status=200, body=listed)
    page = await (await org.browser()).get("/repositories")
    assert (page.status, "docs Private Disabled" in page.words) == (200, True)
