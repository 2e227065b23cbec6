"""The setup's pages, walked by a browser without scripts, from the link to the end."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.db.rows import stored
from tests.operations.setting_up import ME
from tests.web.console.walk import ORIGIN, Walk, walking
from zekt_bot.config import AppCredentials
from zekt_bot.db.tables import audit
from zekt_bot.operations import app_check, setup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def walk(migrated_sqlite: str) -> AsyncIterator[Walk]:
    async with walking(migrated_sqlite) as begun:
        yield begun


async def test_from_the_link_to_the_end(walk: Walk) -> None:
    browser, scene = walk.browser, walk.scene
    await walk.enter()
    assert (await browser.get("/setup")).location == "/setup/address"
    page = await browser.get("/setup/address")
    assert "https://zekt.example" in page.words
    assert "GitHub cannot reach" not in page.words
    assert (await walk.make("oauth", "Zekt sign-in")).location == "/setup"
    assert (await browser.get("/setup")).location == "/setup/orchestrator"
    assert (await walk.make("orchestrator", "Zekt of Aurora")).location == "/setup"
    assert (await browser.get("/setup")).location == "/setup/operator"
    assert 'href="/login?next=/setup/operator"' in (await browser.get("/setup/operator")).text
    assert (await walk.sign_in("mona")).location == "/setup/operator"
    page = await browser.get("/setup/operator")
    assert (await browser.send(page, "/setup/operator")).location == "/setup"
    assert "Operated by mona" in (await browser.get("/setup/operator")).words
    assert (await browser.get("/setup")).location == "/setup/accounts"
    aurora = scene.github.account("aurora-labs")
    scene.github.be_private()  # so that mona's own token is what GitHub is asked with
    page = await browser.get("/setup/accounts")
    kept = await browser.send(page, "/setup/accounts", who="listed", logins="aurora-labs")
    assert kept.location == "/setup"
    assert (await browser.get("/setup")).location == "/setup/install"
    page = await browser.get("/setup/install")
    links = re.findall(r'href="([^"]+/installations/new)"', page.text)
    assert links == [
        f"{scene.github.web_url}/apps/{slug}/installations/new"
        for slug in ("zekt-of-aurora", "zekt-sign-in")
    ]
    assert page.words.count("Not installed") == 2
    for app in scene.github.core.world.apps.values():
        await scene.github.install(app, aurora)
    assert (await browser.get("/setup/install")).words.count("1 account") == 2
    page = await browser.get("/setup/check")
    assert page.words.count("As it should be") == 2
    assert "GitHub sends them to this server, signed." in page.words
    assert page.words.count("A webhook came installation: this server took it.") == 2
    assert page.words.count("A test event went round None was sent yet.") == 2
    assert page.words.count("They come Send a test event") == 2
    assert (await browser.send(page, "/setup/finish")).location == "/setup/done"
    assert "Zekt is ready" in (await browser.get("/setup/done")).words
    assert (await browser.get("/setup/check")).status == 200  # mona is the operator
    page = await browser.get("/apps")
    assert page.words.count("As it should be") == 2
    assert all(each in page.words for each in app_check.UNREADABLE)
    page = await browser.get("/repositories")
    assert page.install_links[:2] == [
        ("Install the orchestration app", "zekt-of-aurora"),
        ("Install the sign-in app", "zekt-sign-in"),
    ]
    closed = await walk.another().get("/setup/check")
    assert (closed.status, "The setup is finished" in closed.words) == (403, True)


async def test_the_setup_ends_with_what_will_not_work_only_if_that_is_chosen(walk: Walk) -> None:
    browser, scene = walk.browser, walk.scene
    await walk.enter()
    for app in ("oauth", "orchestrator"):
        await walk.make(app, f"Zekt {app}")
        await scene.github.settle()
    await walk.sign_in("mona")
    await browser.send(await browser.get("/setup/operator"), "/setup/operator")
    await browser.send(await browser.get("/setup/accounts"), "/setup/accounts", who="everybody")
    page = await browser.get("/setup/check")
    for said in (
        "Orchestration App: It is installed nowhere",
        "Sign-in App: It is installed nowhere",
        "Orchestration App: No webhook is known to come here",
        "ping: this server could not take it then (503). Send a test event.",
    ):
        assert said in page.words
    refused = await browser.send(page, "/setup/finish")
    assert (refused.status, "Tick this to end the setup" in refused.words) == (422, True)
    assert (await browser.get("/setup/done")).location == "/setup"
    assert '<a href="#anyway">' in refused.text
    scene.github.fail("POST", "/app/hook/deliveries/*", status=502)
    down = await browser.send(page, "/setup/check/orchestrator/test")
    assert (down.status, "Nothing was sent." in down.words) == (503, True)
    sent = await browser.send(page, "/setup/check/orchestrator/test")
    assert sent.location == "/setup/check?sent"
    await scene.github.settle()
    page = await browser.get(sent.location)
    assert "GitHub was asked to send a test event" in page.words
    assert "A webhook came ping: this server took it." in page.words
    assert "A test event went round ping: this server took it." in page.words
    assert "Orchestration App: No webhook" not in page.words
    assert "Sign-in App: No webhook" in page.words
    done = await browser.send(page, "/setup/finish", anyway="yes")
    assert done.location == "/setup/done"
    ended = [
        row
        for row in await stored(scene.broker.database, audit)
        if row["verb"].endswith("finished")
    ]
    assert [row["details"] for row in ended] == ['{"doubts":3}']


async def test_who_did_not_bring_the_link_is_shown_nothing(walk: Walk) -> None:
    await walk.enter()
    stranger = walk.another()
    for path in (
        "/setup",
        "/setup/address",
        "/setup/oauth",
        "/setup/oauth/forget",
        "/setup/operator",
        "/setup/accounts",
        "/setup/install",
        "/setup/check",
        "/setup/created/oauth?code=c&state=s",
    ):
        page = await stranger.get(path)
        assert (page.status, "zekt setup-link" in page.words) == (403, True), path
    door = await stranger.get(await walk.link())  # whose page has a token for forms
    for path, fields in (
        ("/setup/oauth", {"name": "Mine"}),
        ("/setup/oauth/forget", {}),
        ("/setup/operator", {}),
        ("/setup/accounts", {"who": "everybody"}),
        ("/setup/finish", {"anyway": "yes"}),
        ("/setup/check/oauth/test", {}),
    ):
        assert (await stranger.send(door, path, **fields)).status == 403, path
    assert (await stranger.get("/setup/done")).location == "/setup"
    found = await setup.progress(walk.scene.broker, ME)
    assert (found.next, found.accounts) == ("oauth", None)


async def test_a_dead_link_says_how_to_get_another(walk: Walk) -> None:
    dead = await walk.link()
    await walk.enter()
    page = await walk.another().get("/nowhere")
    stranger = walk.another()
    page = await stranger.get(dead)
    told = await stranger.send(page, "/setup/enter", token=dead.split("=")[1])
    assert told.status == 403
    assert "This setup link no longer works" in told.words
    assert "zekt setup-link" in told.words
    assert (await walk.browser.get(dead)).location == "/setup/address"  # who is inside goes on


async def test_a_browser_that_somebody_planted_does_not_come_along_into_the_setup(
    walk: Walk,
) -> None:
    await walk.browser.get("/login")
    planted = dict(walk.browser.cookies)
    await walk.enter()
    stranger = walk.another()
    stranger.cookies = planted
    assert (await walk.browser.get("/setup/address")).status == 200
    assert (await stranger.get("/setup/address")).status == 403


async def test_whoever_tries_links_is_slowed_down(walk: Walk) -> None:
    page = await walk.browser.get(await walk.link())
    seen = {(await walk.browser.send(page, "/setup/enter", token="x")).status for _ in range(100)}
    assert seen == {403, 429}


async def test_what_does_not_fit_is_said_beside_its_field_and_stays(walk: Walk) -> None:
    await walk.enter()
    form = await walk.browser.get("/setup/oauth")
    sent = {"name": "z" * 35, "organization": "aurora-labs"}
    page = await walk.browser.send(form, "/setup/oauth", **sent)
    assert page.status == 422
    assert 'aria-invalid="true"' in page.text
    assert 'tabindex="-1" autofocus' in page.text
    assert '<a href="#name">Name</a>: An App' in page.text
    assert "z" * 35 in page.text
    assert 'value="aurora-labs"' in page.text
    assert "<title>Error: " in page.text
    page = await walk.browser.send(form, "/setup/oauth", name="Zekt", organization="../evil")
    assert page.status == 422
    form = await walk.browser.get("/setup/accounts")
    for logins, said in (("", "Name at least one"), ("nobody-here", "GitHub knows no account")):
        page = await walk.browser.send(form, "/setup/accounts", who="listed", logins=logins)
        assert (page.status, said in page.words) == (422, True), page.words
        assert '<a href="#logins">Logins</a>: ' in page.text
    walk.scene.github.fail("GET", "/users/*", status=502)
    page = await walk.browser.send(form, "/setup/accounts", who="listed", logins="aurora-labs")
    assert (page.status, "Nothing was stored" in page.words) == (422, True)


async def test_an_answer_of_github_that_cannot_be_used_says_so_and_how_to_go_on(
    walk: Walk,
) -> None:
    await walk.enter()
    wrong = await walk.browser.get("/setup/created/oauth?code=abc&state=made-up")
    assert (wrong.status, "Start this step again" in wrong.words) == (409, True)
    back = await walk.to_github("oauth", "Zekt sign-in")
    walk.scene.github.fail("POST", "/app-manifests/*", status=502)
    down = await walk.browser.get(back)
    assert (down.status, "good for an hour" in down.words) == (503, True)
    assert f'href="{back.replace("&", "&amp;")}"' in down.text
    assert (await walk.browser.get(back)).location == "/setup"
    again = await walk.browser.get(back)
    assert (again.status, "done already" in again.words) == (409, True)
    form = await walk.browser.get("/setup/orchestrator")
    twice = await walk.browser.send(form, "/setup/oauth", name="Another")
    assert (twice.status, "such an App already" in twice.words) == (409, True)
    early = await walk.browser.send(form, "/setup/finish")
    assert (early.status, "not there yet" in early.words) == (409, True)
    nobody = await walk.browser.send(form, "/setup/operator")
    assert (nobody.status, "Nobody is signed in" in nobody.words) == (403, True)


async def test_an_app_made_by_mistake_can_be_forgotten(walk: Walk) -> None:
    await walk.enter()
    await walk.make("oauth", "Zekt sign-in")
    page = await walk.browser.get("/setup/oauth")
    assert "stored, encrypted" in page.words
    page = await walk.browser.get("/setup/oauth/forget")
    assert "Forget zekt-sign-in?" in page.words
    assert (await walk.browser.send(page, "/setup/oauth/forget")).location == "/setup/oauth"
    walk.scene.clock.advance(timedelta(seconds=1))
    assert "Create the sign-in App" in (await walk.browser.get("/setup/oauth")).words


async def test_what_the_environment_says_is_only_shown(migrated_sqlite: str) -> None:
    classic = AppCredentials(client_id="Ov23", client_secret="hush hush", version="environment")
    async with walking(migrated_sqlite, oauth=classic, allowed_accounts=("aurora-labs",)) as walk:
        await walk.enter()
        page = await walk.browser.get("/setup/oauth")
        assert "These come from ZEKT_OAUTH_APP_ID" in page.words
        assert "classic OAuth App" in page.words
        assert "hush" not in page.text
        page = await walk.browser.get("/setup/accounts")
        assert "This comes from ZEKT_ALLOWED_ACCOUNTS aurora-labs" in page.words
        assert (await walk.browser.get("/setup")).location == "/setup/orchestrator"
        page = await walk.browser.get("/setup/check")
        assert "Not compared, because GitHub tells nothing of a classic OAuth App's" in page.words
        assert "Not compared, because it is not made yet." in page.words
        assert "As it should be" not in page.words
        assert "A webhook came" not in page.words
        assert "The orchestration App is not there yet" in page.words
        page = await walk.browser.get("/setup/install")
        assert page.words.count("Not compared, because") == 2
        assert "Not installed" not in page.words


@pytest.mark.parametrize(
    ("public_url", "said"),
    [
        ("http://localhost:8080", "GitHub cannot reach localhost"),
        ("https://localhost", "GitHub cannot reach localhost"),
    ],
)
async def test_an_address_that_github_refuses_asks_for_a_proxy(
    migrated_sqlite: str, public_url: str, said: str
) -> None:
    elsewhere = {"public_url": public_url, "github_url": "https://github.com"}
    async with walking(migrated_sqlite, **elsewhere) as walk:
        link = await setup.new_link(walk.scene.broker, ME)
        path = link.removeprefix(public_url)
        page = await walk.browser.get(path)
        await walk.browser.send(page, "/setup/enter", token=path.split("=")[1])
        assert said in (await walk.browser.get("/setup/address")).words
        form = await walk.browser.get("/setup/orchestrator")
        assert "Webhook proxy" in form.words
        page = await walk.browser.send(form, "/setup/orchestrator", name="Z", hook_url="smee.io/x")
        assert (page.status, "begins with https://" in page.words) == (422, True)


async def test_a_server_without_https_says_so_before_any_form(migrated_sqlite: str) -> None:
    async with walking(migrated_sqlite, public_url="http://zekt.example") as walk:
        link = await setup.new_link(walk.scene.broker, ME)
        page = await walk.browser.get(link.removeprefix("http://zekt.example"))
        assert "This address is not https" in page.words
        assert "<form" not in page.text, "browsers would drop the cookie that it needs"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?installation_id=1&setup_action=install", "Back from GitHub"),
        ("?setup_action=request", "Zekt does not know yet whether GitHub asked an owner."),
        ("", "Back from GitHub"),
    ],
)
async def test_back_from_installing_the_address_is_only_a_hint(
    walk: Walk, query: str, said: str
) -> None:
    page = await walk.browser.get(f"/setup/installed{query}")
    assert (page.status, said in page.words) == (200, True)
    await walk.enter()
    page = await walk.browser.get("/setup/installed?installation_id=1&setup_action=install")
    assert page.location == "/setup/install"
    page = await walk.browser.get("/setup/installed?setup_action=request")
    assert "GitHub does not say here whether an owner was asked." in page.words


async def test_whom_a_request_waits_for_is_said_to_who_asked_as_github_confirms(walk: Walk) -> None:
    await walk.scene.until_operator()
    await walk.enter()
    await walk.sign_in("mona")
    page = await walk.browser.get("/setup/installed?setup_action=request")
    assert "Waiting for an owner" not in page.words
    world = walk.scene.github.core.world
    app = next(one for one in world.apps.values() if not one.callback_urls)
    mona = world.account("mona")
    assert mona
    world.request(app, walk.scene.github.account("kestrel-bank"), mona)
    page = await walk.browser.get("/setup/installed?setup_action=request")
    assert "GitHub asked the owners of kestrel-bank for you." in page.words


async def test_where_nobody_can_sign_in_any_more_the_setup_is_opened_again(walk: Walk) -> None:
    scene = walk.scene
    await scene.until_operator()
    await setup.choose_accounts(scene.broker, ME, [])
    await setup.finish(scene.broker, ME)
    stored_app = next(one for one in scene.github.core.world.apps.values() if one.callback_urls)
    del scene.github.core.world.apps[stored_app.id]  # deleted at GitHub
    link = await setup.new_link(scene.broker, ME, again=True)
    page = await walk.browser.get(link.removeprefix(ORIGIN))
    await walk.browser.send(page, "/setup/enter", token=link.split("=")[1])
    page = await walk.browser.get("/setup/oauth/forget")
    await walk.browser.send(page, "/setup/oauth/forget")
    scene.clock.advance(timedelta(seconds=1))
    assert (await walk.browser.get("/setup")).location == "/setup/address"
    assert (await walk.make("oauth", "Zekt sign-in again")).location == "/setup"
    assert "Operated by mona" in (await walk.browser.get("/setup/operator")).words
    assert (await walk.sign_in("ada")).location == "/setup/operator"
    page = await walk.browser.get("/setup/operator")
    assert "Make ada an operator too" in page.words
    await walk.browser.send(page, "/setup/operator")
    page = await walk.browser.get("/setup/operator")
    assert "Operated by mona, ada" in page.words
    assert "operator too" not in page.words
    page = await walk.browser.get("/setup/accounts")
    await walk.browser.send(page, "/setup/finish")
    assert (await walk.another().get("/setup/check")).status == 403
    assert (await walk.browser.get("/apps")).status == 200
