"""Consent: what accounts allowed, shown to those who manage something of theirs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson
import pytest
from sqlalchemy import select

from tests.stage import ME
from zekt_bot.db import mirror, tables
from zekt_bot.domain.catalog import Account
from zekt_bot.operations import accounts, installations, lapses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tests.web.console.org import Org


async def look(org: Org) -> None:
    """Zekt hears how the installation stands."""
    ids = [org.api.id, org.docs.id]
    verb = "github:repository:confirmed"
    await installations.look(org.console.broker, org.installed.id, ids, verb)


async def test_what_was_allowed_since_when_by_whom_and_for_what(org: Org) -> None:
    def told(connection: Connection, rows: Sequence[Account]) -> list[None]:
        for each in rows:
            mirror.set_installer(connection, org.installed.id, each)
        return [None] * len(rows)

    await org.console.broker.database.write(told, Account(77, "tom-haber", "User"))
    page = await (await org.browser()).get("/consent")
    assert page.status == 200
    found = re.search(r"aurora-labs Active Organization Since [\d:]+ , by ([^ ]+)", page.words)
    assert found, page.words
    assert found[1] == "tom-haber"
    for said in ("actions: read", "contents: write", "metadata: read", "nobody without it"):
        assert said in page.words
    assert "2 repositories that you manage Zekt was given all repositories" in page.words
    assert "docs Private Disabled" in page.words
    assert "not-theirs" not in page.text
    where = f"/organizations/aurora-labs/settings/installations/{org.installed.id}"
    assert f'href="{org.console.github.web_url}{where}"' in page.text


async def test_a_permission_that_waits_is_named_with_where_it_is_accepted(org: Org) -> None:
    await org.enable("docs")
    await org.console.github.accept_permissions(
        org.installed, {"contents": "read", "issues": "write"}
    )
    await look(org)
    browser = await org.browser()
    page = await browser.get("/consent")
    assert "aurora-labs Permission to accept" in page.words
    assert "issues: write Nothing. app.yml does not ask for it" in page.words
    assert "its data is deleted" not in page.words
    both = await browser.get("/repositories")
    for each in (page, both):
        assert "Zekt asks for actions: read, contents: write" in each.words
        assert f"/installations/{org.installed.id}/permissions/update" in each.text
    assert (
        "docs Private Until an owner accepts the permission Zekt may not hear of its runs. "
        "Permission to accept" in both.words
    )
    assert "payments-api Private Disabled" in both.words


async def test_a_suspended_one_says_who_did_it_and_until_when_it_is_kept(org: Org) -> None:
    await org.enable("docs")
    await org.console.github.suspend(org.installed)
    await look(org)
    page = await (await org.browser()).get("/consent")
    assert "aurora-labs Suspended" in page.words
    sender = org.console.github.core.world.sender
    assert "Suspended at GitHub since" in page.words
    assert f"{sender.login} suspended it." in page.words
    assert "its data is deleted" in page.words
    assert "Open at GitHub" in page.words


async def test_a_removed_one_says_how_it_comes_back(org: Org) -> None:
    await org.console.github.uninstall(org.installed)
    await look(org)
    page = await (await org.browser()).get("/consent")
    assert (
        "aurora-labs removed Zekt Nothing is received from it and nothing is sent to it since"
        in page.words
    )
    assert "Installed again, all goes on as before." in page.words
    assert page.install_links == [("Install it again", "zekt-orchestrator-app")]
    assert "contents: write" not in page.words


async def test_an_account_that_is_not_admitted_is_told_so(org: Org) -> None:
    await accounts.block(org.console.broker, ME, "aurora-labs")
    page = await (await org.browser()).get("/consent")
    assert "aurora-labs is not admitted here" in page.words


@pytest.mark.parametrize("how", ["stranger", "sign-in app removed", "sign-in app suspended"])
async def test_where_github_cannot_say_what_one_manages_nothing_is_said_of_consent(
    org: Org, how: str
) -> None:
    login = "maja-lind"
    if how == "stranger":
        login = org.console.github.account("eve", "User").login
    elif how == "sign-in app removed":
        await org.console.github.uninstall(org.signing_in)
    else:
        await org.console.github.suspend(org.signing_in)
    browser = org.console.browser()
    await org.console.sign_in(browser, login)
    page, missing = await browser.get("/consent"), await browser.get("/repositories")
    assert "GitHub lists no account of yours" in page.words
    assert "what an account allowed is as it was" in page.words
    assert page.install_links == [("Install the sign-in app", "zekt-sign-in")]
    for each in (page, missing):
        told = "The sign-in app is suspended on aurora-labs" in each.words
        assert told == (how == "sign-in app suspended")
        assert told or "aurora-labs" not in each.text
    assert "Of an organization where the sign-in app is not installed, GitHub" in missing.words


async def test_of_an_account_that_github_lists_without_the_app_it_is_said(org: Org) -> None:
    github = org.console.github
    eve = github.account("eve", "User")
    github.grant(github.repository(eve, "notes"), eve, "admin")
    await github.install(org.console.oauth, eve)
    browser = org.console.browser()
    await org.console.sign_in(browser, "eve")
    page = await browser.get("/consent")
    assert "No account has installed Zekt yet None that GitHub lists for you." in page.words
    assert page.install_links == [("Install at GitHub", "zekt-orchestrator-app")]


async def test_what_is_stored_is_deleted_by_whoever_types_its_account(org: Org) -> None:
    await org.enable("docs")
    broker, browser = org.console.broker, await org.browser()
    page = await browser.get("/consent")
    assert "Stored: nothing yet" in page.words
    ask = await browser.get("/consent/aurora-labs/delete")
    assert "2 repositories that you manage take part no longer" in ask.words
    assert "not-theirs" not in ask.text
    wrong = await browser.send(ask, "/consent/aurora-labs/delete", account="aurora")
    assert (wrong.status, 'value="aurora"' in wrong.text) == (422, True)
    assert "Type aurora-labs, the account whose data is deleted." in wrong.words
    assert await held(org) == {"docs": True, "payments-api": False, "not-theirs": False}
    done = await browser.send(ask, "/consent/aurora-labs/delete", account="Aurora-Labs")
    assert done.location == "/consent"
    assert "Being deleted." in (await browser.get("/consent")).words
    again = await browser.send(ask, "/consent/aurora-labs/delete", account="aurora-labs")
    assert again.location == "/consent"  # it is under way
    assert await lapses.finish(broker) == 2
    assert "Stored: nothing yet" in (await browser.get("/consent")).words
    assert not any((await held(org)).values())
    await org.enable("docs")


async def held(org: Org) -> dict[str, bool]:
    """Whether each takes part, by its name."""
    found = await org.console.broker.database.query(
        mirror.repositories_by_id, [org.api.id, org.docs.id, org.other.id]
    )
    return {one.full_name.partition("/")[2]: one.provider for one in found.values()}


async def test_nobody_deletes_what_they_do_not_manage(org: Org) -> None:
    github = org.console.github
    wes = github.account("wes", "User")
    for each in (org.api, org.docs, org.other):
        github.grant(each, wes, "write")
    browser = org.console.browser()
    await org.console.sign_in(browser, "wes")
    me = await browser.get("/me")
    for login in ("aurora-labs", "no-such"):
        ask = await browser.get(f"/consent/{login}/delete")
        done = await browser.send(me, f"/consent/{login}/delete", account=login)
        assert (ask.status, done.status, ask.words == done.words) == (404, 404, True)
    assert (await browser.get("/consent")).words.count("aurora-labs") == 0
    rows = await org.console.broker.database.query(
        lambda c: c.execute(select(tables.repositories.c.purging_since)).scalars().all()
    )
    assert set(rows) == {None}


async def test_what_is_stored_is_downloaded_a_json_object_a_line(org: Org) -> None:
    browser = await org.browser()
    got = await browser.get("/consent/AURORA-labs/export")
    assert got.headers["Content-Disposition"] == 'attachment; filename="zekt-aurora-labs.jsonl"'
    assert (got.headers["Content-Type"], got.headers["Cache-Control"]) == (
        "application/x-ndjson",
        "no-store",
    )
    rows = [orjson.loads(line) for line in got.text.splitlines()]
    assert [row["record"] for row in rows] == ["account", "installation", *["repository"] * 2]
    assert "not-theirs" not in got.text
    assert org.console.oauth.client_secret not in got.text
    org.console.github.account("eve", "User")
    stranger = org.console.browser()
    await org.console.sign_in(stranger, "eve")
    assert (await stranger.get("/consent/aurora-labs/export")).status == 404
