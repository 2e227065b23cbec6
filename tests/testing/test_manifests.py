"""The simulator's manifest and installation pages: what a browser meets, and where it is led."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientSession, CookieJar

from tests.testing.browser import MANIFEST, Browser

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.testing.client import Client, Receiver
    from zekt_bot.testing import App, GitHubSimulator, ManualClock


@pytest.fixture
async def browser(github: GitHubSimulator) -> AsyncIterator[Browser]:
    """Of whoever owns the organizations."""
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
        opened = Browser(github, session)
        await opened.sign_in(github.sender.login)
        yield opened


async def convert(client: Client, code: str) -> Any:
    return await client.ask("POST", f"/app-manifests/{code}/conversions")


def only_app(github: GitHubSimulator) -> App:
    (app,) = github.core.world.apps.values()
    return app


async def test_a_confirmed_manifest_is_an_app_whose_secrets_are_told_once(
    browser: Browser, client: Client, github: GitHubSimulator, clock: ManualClock
) -> None:
    back = await browser.code()
    assert back["state"] == "abc"
    answer = await convert(client, back["code"])
    app = only_app(github)
    assert answer.status == 201
    assert (answer.body["id"], answer.body["slug"]) == (app.id, "zekt-of-aurora")
    assert answer.body["html_url"] == f"{github.web_url}/apps/zekt-of-aurora"
    told = {name: answer.body[name] for name in ("client_id", "client_secret", "webhook_secret")}
    assert told == {name: getattr(app, name) for name in told}
    assert answer.body["pem"] == app.private_key
    assert answer.body["permissions"] == {
        "actions": "read",
        "contents": "write",
        "metadata": "read",
    }
    assert answer.body["events"] == ["workflow_run"]  # what needs no permission never shows
    assert (await convert(client, back["code"])).status == 404
    await github.settle()
    assert [one.event for one in github.deliveries] == ["ping"]


async def test_a_code_is_good_for_an_hour(
    browser: Browser, client: Client, clock: ManualClock
) -> None:
    back = await browser.code()
    clock.advance(timedelta(hours=1))
    assert (await convert(client, back["code"])).status == 404


async def test_a_new_key_is_refused_for_some_seconds(
    browser: Browser, client: Client, github: GitHubSimulator, clock: ManualClock
) -> None:
    await browser.code()
    assert (await client.as_app(only_app(github), "/app")).status == 401
    clock.advance(timedelta(seconds=3))
    assert (await client.as_app(only_app(github), "/app")).status == 200


async def test_without_a_hook_there_is_no_webhook_secret(
    browser: Browser, client: Client, github: GitHubSimulator
) -> None:
    draft = {name: value for name, value in MANIFEST.items() if name != "hook_attributes"}
    _, page = await browser.post("/settings/apps/new", manifest=json.dumps(draft))
    (action,) = re.findall(r'action="([^"]+)"', page)
    _, where = await browser.post(str(action), name="No hook")
    (code,) = parse_qs(urlsplit(where).query)["code"]
    assert (await convert(client, code)).body["webhook_secret"] is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"hook_attributes": {"url": "http://localhost:8080/webhooks/github"}}, "reachable"),
        ({"hook_attributes": {"url": "https://192.168.1.7/webhooks/github"}}, "reachable"),
        ({"hook_attributes": {"url": "http://zekt.example/webhooks/github"}}, "reachable"),
        ({"hook_attributes": {"active": True}}, "Hook url"),
        ({"hook_attributes": {"url": "https://zekt.example", "secret": "x"}}, "unknown field"),
        ({"redirect_url": "/setup"}, "redirect_url"),
        ({"default_events": ["installation"]}, "unsupported"),
        ({"default_events": ["workflow_run"], "default_permissions": {}}, "not supported"),
    ],
)
async def test_a_manifest_that_github_refuses(
    browser: Browser, changed: dict[str, Any], reason: str
) -> None:
    sent = json.dumps({**MANIFEST, **changed})
    status, page = await browser.post("/settings/apps/new", manifest=sent)
    assert (status, reason in page) == (422, True), page
    assert (await browser.post("/settings/apps/new", manifest="[]"))[0] == 422
    assert (await browser.post("/settings/apps/new", manifest="no"))[0] == 422


async def test_a_local_hook_is_taken_where_the_whole_play_is_local(
    browser: Browser, github: GitHubSimulator
) -> None:
    github.core.world.takes_local_hooks = True
    assert await browser.draft(hook_attributes={"url": "http://127.0.0.1:9/webhooks/github"})


async def test_a_name_is_unique_and_short_and_can_be_mended(
    browser: Browser, github: GitHubSimulator
) -> None:
    github.app("zekt")
    github.account("aurora")
    draft = await browser.draft()
    for name, reason in (
        ("Zekt", "already in use"),
        ("Aurora", "already in use"),
        ("z" * 35, "too long"),
        (" ", "blank"),
    ):
        status, page = await browser.post(draft, name=name)
        assert (status, reason in page) == (422, True), page
    assert (await browser.post(draft, name="Zekt 2"))[0] == 302
    assert (await browser.post(draft, name="Zekt 3"))[0] == 404


async def test_an_organizations_app_is_made_by_its_owners_alone(
    browser: Browser, github: GitHubSimulator
) -> None:
    org = github.account("aurora-labs")
    path = "/organizations/{}/settings/apps/new"
    draft = await browser.draft(path.format("aurora-labs"))
    await browser.post(draft, name="Zekt of Aurora")
    assert only_app(github).owner is org
    org.members = {github.sender.id: "member"}
    for login in ("aurora-labs", "octocat", "nobody"):
        sent = json.dumps(MANIFEST)
        assert (await browser.post(path.format(login), manifest=sent))[0] == 404


async def test_installing_leads_back_and_so_does_a_change(
    browser: Browser, github: GitHubSimulator, receiver: Receiver
) -> None:
    org = github.account("aurora-labs")
    api, docs = github.repository(org, "api"), github.repository(org, "docs")
    app = github.app("zekt", hook_url=receiver.url)
    app.setup_url, app.setup_on_update = "https://zekt.example/setup/installed", True
    async with browser.session.get(f"{github.web_url}/apps/zekt/installations/new") as answer:
        assert "aurora-labs" in await answer.text()
    chosen = {"account": "aurora-labs", "selection": "selected", "repository": str(api.id)}
    _, where = await browser.post("/apps/zekt/installations", **chosen)
    (made,) = github.core.world.live_installations()
    assert where == f"{app.setup_url}?installation_id={made.id}&setup_action=install"
    assert made.selected == {api.id}
    page = f"/settings/installations/{made.id}"
    assert await browser.post("/apps/zekt/installations", **chosen) == (302, page)
    async with browser.session.get(github.web_url + page) as answer:
        assert f'value="{api.id}" checked' in await answer.text()
    chosen["repository"] = str(docs.id)
    _, where = await browser.post(page, **chosen)
    assert where == f"{app.setup_url}?installation_id={made.id}&setup_action=update"
    for said, button in (("yes", "Unsuspend"), ("yes", "Unsuspend"), ("no", "Suspend")):
        assert await browser.post(page, suspended=said) == (302, page)
        assert f">{button}<" in await browser.get(page)
        assert made.suspended_by is (github.sender if said == "yes" else None)
    assert (await browser.post(page, uninstall="yes"))[0] == 200
    assert receiver.names == [
        "installation.created",
        "installation_repositories.added",
        "installation_repositories.removed",
        "installation.suspend",
        "installation.unsuspend",
        "installation.deleted",
    ]
    assert (await browser.post(page, **chosen))[0] == 404


async def test_whoever_is_signed_in_installs_and_who_is_not_is_asked_to(
    browser: Browser, github: GitHubSimulator, receiver: Receiver
) -> None:
    org, mona = github.account("aurora-labs"), github.account("mona", "User")
    org.members = {mona.id: "owner"}
    github.app("zekt", hook_url=receiver.url)
    page = "/apps/zekt/installations/new"
    assert "aurora-labs" not in await browser.get(page)
    await browser.sign_in("mona")
    assert "Install on aurora-labs" in await browser.get(page)
    await browser.post("/apps/zekt/installations", account="aurora-labs")
    (made,) = github.core.world.live_installations()
    (told,) = receiver.hooks
    assert told.body["sender"]["login"] == "mona"
    assert "Uninstall" in await browser.get(
        f"/organizations/aurora-labs/settings/installations/{made.id}"
    )
    browser.session.cookie_jar.clear()
    for path in (page, f"/settings/installations/{made.id}"):
        assert "Sign in to GitHub" in await browser.get(path)


async def test_a_member_can_only_ask(browser: Browser, github: GitHubSimulator) -> None:
    org, app = github.account("aurora-labs"), github.app("zekt")
    app.setup_url = "https://zekt.example/setup/installed"
    org.members = {github.sender.id: "member"}
    sent = await browser.post("/apps/zekt/installations", account="aurora-labs")
    assert sent == (302, f"{app.setup_url}?setup_action=request")
    (asked,) = github.core.world.requests
    assert (asked.app, asked.account, asked.requester) == (app, org, github.sender)
    assert github.core.world.live_installations() == []
    org.members = {}
    assert (await browser.post("/apps/zekt/installations", account="aurora-labs"))[0] == 404


async def test_a_private_app_is_its_owners(browser: Browser, github: GitHubSimulator) -> None:
    org = github.account("aurora-labs")
    app = github.app("zekt", owner=org)
    app.public = False
    url = f"{github.web_url}/apps/zekt/installations/new"
    async with browser.session.get(url) as answer:
        page = await answer.text()
        assert "aurora-labs" in page
        assert "octocat" not in page
    org.members = {}
    async with browser.session.get(url) as answer:
        assert answer.status == 404
