"""Signing in and out: to GitHub and back, once, in time, in one's own browser."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.db.rows import stored
from tests.testing.walker import Walker
from tests.web.console.browsing import Browser
from tests.web.console.console import Console, field, open_console
from zekt_bot.config import AppCredentials
from zekt_bot.db import sessions as rows
from zekt_bot.db.sessions import Start
from zekt_bot.db.tables import audit, people, sessions, web_states
from zekt_bot.db.web_states import fingerprint
from zekt_bot.domain.access import Operator, Person
from zekt_bot.errors import Conflict
from zekt_bot.operations import retention, webhook_proof

if TYPE_CHECKING:
    from zekt_bot.testing import ManualClock

SESSION = "zekt-session"
ME = Operator("cli:me@here")


async def test_one_comes_back_signed_in_to_the_page_that_was_asked_for(on_each: Console) -> None:
    browser = on_each.browser()
    sent_to_door = await browser.get("/me?x=1")
    assert (sent_to_door.status, sent_to_door.location) == (303, "/login?next=/me?x%3D1")
    asked = await on_each.go(browser, sent_to_door.location)
    query = parse_qs(urlsplit(asked).query)
    assert asked.startswith(f"{on_each.github.web_url}/login/oauth/authorize?")
    assert query["code_challenge_method"] == ["S256"]
    assert "scope" not in query

    back = await browser.get(await on_each.at_github(asked))

    assert (back.status, back.location) == (303, "/me?x=1")
    page = await browser.get(back.location)
    assert "maja-lind" in page.words
    (row,) = await stored(on_each.broker.database, sessions)
    assert row["hash"] == fingerprint(browser.cookies[SESSION])
    assert [each["verb"] for each in await stored(on_each.broker.database, audit)] == [
        "person:session:started"
    ]


async def test_the_first_time_one_is_asked_what_to_see_first(on_each: Console) -> None:
    browser = on_each.browser()
    back = await on_each.sign_in(browser)
    assert (await browser.get(back.location)).location == "/welcome"
    welcome = await browser.get("/welcome")
    refused = await browser.send(welcome, "/welcome", next="/", view="everything")
    assert (refused.status, "Choose one." in refused.words) == (400, True)
    chosen = await browser.send(welcome, "/welcome", next="//evil.example", view="consumer")
    assert chosen.location == "/"
    assert (await stored(on_each.broker.database, people))[0]["shown_first"] == "consumer"
    assert (await browser.get("/")).location != "/welcome"


async def test_a_cookie_that_was_planted_before_is_worth_nothing(console: Console) -> None:
    browser = console.browser()
    browser.cookies[SESSION] = planted = "p" * 43
    await console.sign_in(browser)
    assert browser.cookies[SESSION] != planted
    stranger = console.browser()
    stranger.cookies[SESSION] = planted
    assert (await stranger.get("/me")).location.startswith("/login?")


async def test_signing_in_again_ends_the_browser_s_former_session(console: Console) -> None:
    browser = console.browser()
    await console.sign_in(browser)
    former = browser.cookies[SESSION]
    out = console.browser()
    out.cookies = {name: value for name, value in browser.cookies.items() if name != SESSION}
    path = await console.at_github(await console.go(out))
    await browser.get(path)  # as from a second tab, opened before the first had signed in
    assert browser.cookies[SESSION] != former
    assert (await browser.get("/me")).words.count("1 session") == 1
    browser.cookies[SESSION] = former
    assert (await browser.get("/me")).status == 303


async def test_who_says_no_hears_that_nothing_was_stored(console: Console) -> None:
    browser = console.browser()
    asked = await console.go(browser, "/login?next=/me")
    page = await browser.get(await console.at_github(asked, decision="0"))
    assert (page.status, field(page, "next")) == (403, "/me")
    assert "You said no at GitHub. Nothing was stored." in page.words
    assert "Continue with GitHub" in page.words
    assert SESSION not in browser.cookies


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("replayed", "was finished before"),
        ("late", "more than 10 minutes"),
        ("other_browser", "another browser or tab"),
        ("no_state", "is not known here"),
        ("wrong_state", "is not known here"),
        ("wrong_code", "came too late or was used before"),
        ("strange_error", "GitHub did not sign you in"),
        ("silent", "GitHub does not answer"),
        ("nonsense", "GitHub does not answer"),
        ("wrong_secret", "does not accept this server's client secret"),
    ],
)
async def test_a_way_back_that_is_wrong_says_so_and_signs_nobody_in(
    console: Console, change: str, said: str
) -> None:
    browser = answering = console.browser()
    path = await console.at_github(await console.go(browser))
    code, state = (parse_qs(urlsplit(path).query)[name][0] for name in ("code", "state"))
    callback = "/auth/github/callback"
    match change:
        case "replayed":
            await browser.get(path)
            browser.cookies.pop(SESSION)
        case "late":
            console.clock.advance(timedelta(minutes=10))
        case "other_browser":
            answering = console.browser()
        case "no_state":
            path = f"{callback}?code={code}"
        case "wrong_state":
            path = f"{callback}?code={code}&state={state[:-1]}"
        case "wrong_code":
            path = f"{callback}?code=0000&state={state}"
        case "strange_error":
            path = f"{callback}?error=<script>&state={state}"
        case "silent":
            console.github.fail("POST", "/login/oauth/access_token", status=502)
        case "nonsense":
            console.github.fail("GET", "/user", status=200, body={"id": "me"})
        case "wrong_secret":
            console.oauth.client_secret = "another one"
    page = await answering.get(path)
    assert page.status == 403
    assert said in page.words
    assert SESSION not in answering.cookies
    assert "<script>" not in page.text.replace('<script type="module"', "")
    assert code not in page.text
    given = console.github.core.people.tokens.values()
    assert all(token.revoked for token in given) is (change != "replayed")


async def test_a_code_of_somebody_else_s_sign_in_is_not_taken(console: Console) -> None:
    """A stranger's code under one's own state: PKCE binds it to the stranger's verifier."""
    stranger, browser = console.browser(), console.browser()
    console.github.account("eve", "User")
    theirs = await console.at_github(await console.go(stranger), "eve")
    mine = await console.at_github(await console.go(browser))
    code = parse_qs(urlsplit(theirs).query)["code"][0]
    state = parse_qs(urlsplit(mine).query)["state"][0]
    page = await browser.get(f"/auth/github/callback?code={code}&state={state}")
    assert page.status == 403
    assert SESSION not in browser.cookies


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example/x",
        "https://evil.example/",
        "/\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "/" + "x" * 3000,
    ],
)
async def test_nobody_is_led_elsewhere(console: Console, target: str) -> None:
    browser = console.browser()
    back = await console.sign_in(browser, path=f"/login?next={quote(target)}")
    assert back.location == "/"


async def test_a_session_ends_when_idle_and_when_old(migrated_url: str, clock: ManualClock) -> None:
    settings: Any = {"session_idle": timedelta(hours=3), "session_lasts": timedelta(hours=9)}
    async with open_console(migrated_url, clock, **settings) as console:
        browser = console.browser()
        await console.sign_in(browser)
        for _ in range(2):
            clock.advance(timedelta(hours=2, minutes=59))
            assert (await browser.get("/me")).status == 200
        clock.advance(timedelta(hours=3))
        ended = await browser.get("/me")
        assert ended.location == "/login?next=/me&ended=1"
        assert "Your session ended" in (await browser.get(ended.location)).words
        await console.sign_in(browser)
        for _ in range(3):
            clock.advance(timedelta(hours=2, minutes=59))
            assert (await browser.get("/me")).status == 200
        clock.advance(timedelta(minutes=3))
        assert (await browser.get("/me")).status == 303


async def test_the_cookie_of_a_session_is_this_hosts_alone_and_no_scripts(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    public = "https://zekt.example"
    async with open_console(migrated_sqlite, clock, public_url=public) as console:
        console.oauth.callback_urls = (f"{public}/auth/github/callback",)
        browser = Browser(console.base, public)
        asked = await console.go(browser)
        async with Walker(console.github.web_url) as walker:
            away = await walker.through(await walker.open(asked), "maja-lind")
        await browser.get(away.removeprefix(public))
        out = await browser.send(await browser.get("/me"), "/logout")
    (kept, dropped) = (line for line in browser.set_cookies if "session" in line)
    value, *flags = kept.split("; ")
    assert re.fullmatch(r"__Host-zekt-session=[A-Za-z0-9_-]{43}", value)
    assert sorted(flags) == ["HttpOnly", "Max-Age=604800", "Path=/", "SameSite=Lax", "Secure"]
    assert "Max-Age=0" in dropped
    assert {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"} <= set(dropped.split("; "))
    assert out.location == "/login"


async def test_who_signs_out_is_out_here_and_at_github(console: Console) -> None:
    browser = console.browser()
    await console.sign_in(browser)
    kept = dict(browser.cookies)
    page = await browser.get("/me")
    out = await browser.send(page, "/logout")
    assert (out.status, out.location, SESSION in browser.cookies) == (303, "/login", False)
    browser.cookies = kept
    assert (await browser.get("/me")).status == 303
    tokens = console.github.core.people.tokens.values()
    assert [token.revoked for token in tokens] == [True]


async def test_who_signs_out_while_github_is_down_is_out_here(console: Console) -> None:
    browser = console.browser()
    await console.sign_in(browser)
    kept = dict(browser.cookies)
    console.github.fail("DELETE", "/applications/*", status=500)
    out = await browser.send(await browser.get("/me"), "/logout")
    assert (out.location, SESSION in browser.cookies) == ("/login", False)
    browser.cookies = kept
    assert (await browser.get("/me")).status == 303
    (row,) = await stored(console.broker.database, sessions)  # until GitHub does it
    assert row["expires_at"] <= console.clock.now()


async def test_one_ends_ones_own_sessions_and_no_others(on_each: Console) -> None:
    on_each.github.account("eve", "User")
    phone, laptop, eves = on_each.browser(), on_each.browser(), on_each.browser()
    for browser, login in ((phone, "maja-lind"), (laptop, "maja-lind"), (eves, "eve")):
        await on_each.sign_in(browser, login)
    page = await laptop.get("/me")
    assert "2 sessions" in page.words
    theirs = fingerprint(eves.cookies[SESSION])
    refused = await laptop.send(page, "/me/sessions/end", session=theirs)
    assert refused.status == 404
    assert (await eves.get("/me")).status == 200
    await laptop.send(page, "/me/sessions/end", session=fingerprint(phone.cookies[SESSION]))
    assert (await phone.get("/me")).status == 303
    gone = await laptop.send(page, "/me/sessions/end", session=fingerprint(laptop.cookies[SESSION]))
    assert gone.location == "/login"
    assert SESSION not in laptop.cookies


async def test_a_form_of_before_the_sign_in_is_out_of_date(console: Console) -> None:
    browser = console.browser()
    before = await browser.get("/login")
    await console.sign_in(browser)
    refused = await browser.send(before, "/logout")
    assert refused.status == 403
    assert (await browser.get("/me")).status == 200


async def test_whoever_withdraws_the_authorization_is_out_at_once(on_each: Console) -> None:
    phone, laptop = on_each.browser(), on_each.browser()
    await on_each.sign_in(phone)
    await on_each.sign_in(laptop)
    await on_each.github.revoke_authorization(on_each.oauth, on_each.maja)
    (told,) = on_each.github.deliveries
    assert told.status_code == 202
    assert (await phone.get("/me")).status == (await laptop.get("/me")).status == 303
    again = await on_each.github.deliver(told)
    assert again.status_code == 202


async def test_a_test_event_never_repeats_a_withdrawal(console: Console) -> None:
    browser, github = console.browser(), console.github
    await console.sign_in(browser)
    await github.revoke_authorization(console.oauth, console.maja)
    with pytest.raises(Conflict, match="is not repeated"):
        await webhook_proof.send_test(console.broker, ME, "oauth")
    await github.install(console.oauth, github.account("aurora-labs"))
    await github.revoke_authorization(console.oauth, console.maja)
    await console.sign_in(browser)
    await webhook_proof.send_test(console.broker, ME, "oauth")
    await github.settle()
    assert (github.deliveries[-1].event, github.deliveries[-1].redelivery) == ("installation", True)
    assert (await browser.get("/me")).status == 200


async def test_other_news_of_the_oauth_app_is_not_stored(console: Console) -> None:
    await console.github.install(console.oauth, console.github.account("aurora-labs"))
    await console.github.send(console.oauth, "github_app_authorization", {"action": "revoked"})
    await console.github.ping(console.oauth)
    assert [told.status_code for told in console.github.deliveries] == [202, 202, 200]
    assert '"ignored":"oauth_app"' in console.github.deliveries[0].response_body


async def test_what_has_run_out_is_not_kept(console: Console) -> None:
    await console.sign_in(console.browser())
    for days, kept in ((1, 1), (0.1, 0)):
        console.clock.advance(timedelta(days=days))
        await retention.purge(console.broker, lambda: False)
        assert len(await stored(console.broker.database, web_states)) == kept


async def test_a_person_has_no_more_sessions_than_github_keeps_tokens(console: Console) -> None:
    broker, maja, eve = console.broker, Person(7, "maja-lind"), Person(8, "eve")
    for n, person in enumerate([eve] + [maja] * 12):
        console.clock.advance(timedelta(seconds=1))
        now = broker.now()
        entry = await broker.entry("person:session:started", person.actor)
        start = Start(f"{n}", person, "", now, now + timedelta(days=7), b"", None, None, entry)
        await broker.database.write(rows.start, start)
    told, now = await stored(broker.database, sessions), broker.now()
    left = {row["hash"] for row in told if row["expires_at"] > now}
    assert left == {"0", *(str(n) for n in range(3, 13))}


async def test_without_an_oauth_app_the_door_says_so(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    async with open_console(migrated_sqlite, clock, oauth=AppCredentials()) as console:
        browser = console.browser()
        door = await browser.get("/login")
        refused = await browser.send(door, "/login", next="/")
        assert refused.status == 503
        assert "client id and client secret are missing" in refused.words


async def test_too_many_tries_are_refused_for_a_minute(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    async with open_console(migrated_sqlite, clock) as console:
        browser = console.browser()
        seen = [await browser.get("/auth/github/callback") for _ in range(21)]
        assert [page.status for page in seen] == [403] * 20 + [429]
        assert seen[-1].headers["Retry-After"] == "60"
        clock.advance(timedelta(minutes=1))
        assert (await browser.get("/auth/github/callback")).status == 403


async def test_each_address_behind_a_proxy_has_its_own_tries_at_the_door(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    proxies = (ip_network("127.0.0.0/8"),)
    async with open_console(migrated_sqlite, clock, trusted_proxies=proxies) as console:
        browser = console.browser()
        fields = {"csrf": (await browser.get("/login")).token, "next": "/"}

        async def tried(address: str) -> int:
            return (await browser.post("/login", fields, X_Forwarded_For=address)).status

        assert [await tried("203.0.113.1") for _ in range(21)] == [200] * 20 + [429]
        assert await tried("203.0.113.2") == 200
        assert await tried("203.0.113.1") == 429
