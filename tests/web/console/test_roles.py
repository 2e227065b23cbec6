"""Every route, and what it answers to whom: a new one has to be entered here."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from aiohttp.test_utils import make_mocked_request

from tests.stage import ME
from tests.web.console.console import Console, open_console
from tests.web.front import Parts
from zekt_bot.clock import SystemClock
from zekt_bot.config import Settings
from zekt_bot.operations import repositories
from zekt_bot.web.api.routes import CLOSED, OPERATIONS
from zekt_bot.web.console import static
from zekt_bot.web.console.routes import PAGES
from zekt_bot.web.server import WebDeps, build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp import web

    from tests.web.console.browsing import Browser, Seen
    from zekt_bot.testing import Account, ManualClock
    from zekt_bot.web.console.gate import Page


class Answers(NamedTuple):
    """Statuses. `provider` and `consumer` each manage a repository, `other` none; `operator` was
    listed by the settings and manages none either."""

    anonymous: int
    other: int
    consumer: int
    provider: int
    operator: int


PROVIDED, CONSUMED = "aurora-labs/api", "kestrel-bank/core"
# Nobody of them may see these: Zekt has not met it; its installation is suspended, or gone, which
# Zekt has not heard; and one that is not there at all.
HIDDEN = ("aurora-labs/secret", "dusk-labs/secret", "gone-labs/secret", "aurora-labs/no-such")
UNSEEN = {
    (method, f"/repositories/{name}/{verb}"): Answers(303, 404, 404, 404, 404)
    for name in HIDDEN
    for verb in ("enable", "disable")
    for method in ("GET", "POST")
}
MATRIX: dict[tuple[str, str], Answers] = {
    ("GET", "/healthz"): Answers(200, 200, 200, 200, 200),
    ("GET", "/readyz"): Answers(200, 200, 200, 200, 200),
    ("GET", "/api/openapi.json"): Answers(200, 200, 200, 200, 200),
    # Programs show a token or a signature: a person's session is worth nothing here.
    ("GET", "/metrics"): Answers(401, 401, 401, 401, 401),
    ("GET", "/status"): Answers(401, 401, 401, 401, 401),
    ("POST", "/webhooks/github"): Answers(401, 401, 401, 401, 401),
    ("POST", "/webhooks/github/oauth"): Answers(401, 401, 401, 401, 401),
    ("GET", static.asset("zekt.css")): Answers(200, 200, 200, 200, 200),
    ("GET", "/nowhere"): Answers(404, 404, 404, 404, 404),
    ("GET", "/"): Answers(303, 303, 303, 303, 303),
    ("GET", "/login"): Answers(200, 303, 303, 303, 303),
    ("POST", "/login"): Answers(200, 200, 200, 200, 200),
    ("GET", "/auth/github/callback"): Answers(403, 403, 403, 403, 403),
    ("GET", "/welcome"): Answers(303, 200, 200, 200, 200),
    ("POST", "/welcome"): Answers(303, 303, 303, 303, 303),
    ("GET", "/apps"): Answers(303, 403, 403, 403, 200),
    ("GET", "/me"): Answers(303, 200, 200, 200, 200),
    ("POST", "/me/sessions/end"): Answers(303, 404, 404, 404, 404),
    ("GET", "/me/export"): Answers(303, 200, 200, 200, 200),
    ("GET", "/me/delete"): Answers(303, 200, 200, 200, 200),
    ("POST", "/me/delete"): Answers(303, 422, 422, 422, 422),
    ("POST", "/preferences/theme"): Answers(303, 303, 303, 303, 303),
    ("GET", "/repositories"): Answers(303, 200, 200, 200, 200),
    ("GET", f"/repositories/{PROVIDED}/enable"): Answers(303, 404, 404, 200, 404),
    ("POST", f"/repositories/{PROVIDED}/enable"): Answers(303, 404, 404, 303, 404),
    ("GET", f"/repositories/{CONSUMED}/disable"): Answers(303, 404, 200, 404, 404),
    ("POST", f"/repositories/{CONSUMED}/disable"): Answers(303, 404, 303, 404, 404),
    **UNSEEN,
    ("GET", "/consent"): Answers(303, 200, 200, 200, 200),
    ("GET", "/consent/aurora-labs/export"): Answers(303, 404, 404, 200, 404),
    ("GET", "/consent/kestrel-bank/delete"): Answers(303, 404, 200, 404, 404),
    ("POST", "/consent/kestrel-bank/delete"): Answers(303, 404, 303, 404, 404),
    ("GET", "/setup"): Answers(403, 403, 403, 403, 303),
    ("POST", "/setup/enter"): Answers(403, 403, 403, 403, 403),
    ("GET", "/setup/address"): Answers(403, 403, 403, 403, 200),
    ("GET", "/setup/operator"): Answers(403, 403, 403, 403, 200),
    ("POST", "/setup/operator"): Answers(403, 403, 403, 403, 303),
    ("GET", "/setup/accounts"): Answers(403, 403, 403, 403, 200),
    ("POST", "/setup/accounts"): Answers(403, 403, 403, 403, 422),
    ("GET", "/setup/install"): Answers(403, 403, 403, 403, 200),
    ("GET", "/setup/installed"): Answers(200, 303, 303, 303, 303),
    ("GET", "/setup/check"): Answers(403, 403, 403, 403, 200),
    ("POST", "/setup/check/oauth/test"): Answers(403, 403, 403, 403, 303),
    ("POST", "/setup/finish"): Answers(403, 403, 403, 403, 409),
    ("GET", "/setup/done"): Answers(303, 303, 303, 303, 303),
    ("GET", "/setup/created/oauth"): Answers(403, 403, 403, 403, 409),
    ("GET", "/setup/oauth"): Answers(403, 403, 403, 403, 200),
    ("POST", "/setup/oauth"): Answers(403, 403, 403, 403, 409),
    ("GET", "/setup/oauth/forget"): Answers(403, 403, 403, 403, 200),
    ("POST", "/setup/oauth/forget"): Answers(403, 403, 403, 403, 303),
    ("POST", "/logout"): Answers(303, 303, 303, 303, 303),
}
# The API is for programs too, whatever it has: none of it is done for a session.
for _each in OPERATIONS:
    _path = _each.path.replace("{message}", "any")
    MATRIX[_each.method, _path] = Answers(401, 401, 401, 401, 401)
for _closed in CLOSED:
    _path = _closed.path.replace("{execution}", "any")
    MATRIX[_closed.method, _path] = Answers(*[_closed.status] * 5)
# What is sent where a form without it would be refused to everybody.
FIELDS: Mapping[str, dict[str, str]] = {
    "/welcome": {"view": "both"},
    f"/repositories/{PROVIDED}/enable": {"part": "provider"},
    f"/repositories/{CONSUMED}/disable": {"part": "neither"},
    **{f"/repositories/{name}/enable": {"part": "provider"} for name in HIDDEN},
    **{f"/repositories/{name}/disable": {"part": "neither"} for name in HIDDEN},
    "/consent/kestrel-bank/delete": {"account": "kestrel-bank"},
}


@pytest.fixture
async def people(peopled: Console) -> list[Browser]:
    """One browser for each of `Answers`, signed in."""
    browsers = [peopled.browser() for _ in Answers._fields]
    for browser, login in zip(browsers[1:], Answers._fields[1:], strict=True):
        await peopled.sign_in(browser, login)
    return browsers


@pytest.fixture
async def peopled(migrated_sqlite: str, clock: ManualClock) -> AsyncIterator[Console]:
    settings: dict[str, Any] = {"operators": ("operator",), "metrics_tokens": ("a token",)}
    async with open_console(migrated_sqlite, clock, **settings) as console:
        made = {name: console.github.account(name, "User") for name in Answers._fields[1:]}
        aurora = await takes_part(console, PROVIDED, made["provider"])
        await takes_part(console, CONSUMED, made["consumer"])
        console.github.repository(aurora, "secret", private=True)
        owner = console.github.account("mona", "User")
        for login, ends in (
            ("dusk-labs", console.github.suspend),
            ("gone-labs", console.github.uninstall),
        ):
            org = await takes_part(console, f"{login}/secret", owner)
            there = console.github.core.world.installation_of(console.orchestrator, org)
            assert there
            await ends(there)
        yield console


async def takes_part(console: Console, name: str, admin: Account) -> Account:
    """Both Apps are installed on its owner, and it is enabled."""
    login, _, short = name.partition("/")
    org = console.github.account(login)
    repository = console.github.repository(org, short, private=True)
    console.github.grant(repository, admin, "admin")
    for app in (console.orchestrator, console.oauth):
        await console.github.install(app, org)
    await repositories.enable(console.broker, ME, name)
    return org


async def test_every_route_answers_as_the_table_says(
    peopled: Console, people: list[Browser]
) -> None:
    wrong = {}
    for (method, path), wanted in MATRIX.items():
        peopled.clock.advance(timedelta(minutes=1))  # not too many tries
        answers = await asyncio.gather(*(ask(one, method, path) for one in people))
        assert all(map(is_guarded, answers)), (method, path)
        seen = Answers(*(answer.status for answer in answers))
        if seen != wanted:
            wrong[method, path] = seen
    assert wrong == {}


def is_guarded(answer: Seen) -> bool:
    """Whatever is answered: nothing frames it, guesses its type or hears where it was linked."""
    told = answer.headers
    html = told.get("Content-Type", "").startswith("text/html")
    return (
        told["X-Content-Type-Options"] == "nosniff"
        and told["X-Frame-Options"] == "DENY"
        and told["Referrer-Policy"] == "same-origin"
        and told["Content-Security-Policy"].startswith("default-src 'none';")
        and "frame-ancestors 'none'" in told["Content-Security-Policy"]
        and (not html or told["Cache-Control"] == "no-store")
    )


async def test_the_table_has_every_route() -> None:
    app = build(WebDeps(Settings(), Parts(), Parts().store, Parts().ready, SystemClock()))
    entered = [await resolved(app, method, path) for method, path in MATRIX]
    routes = {route for route in app.router.routes() if route.method != "HEAD"}
    missing = {str(route.resource) for route in routes - set(entered)}
    assert {each for each in missing if "//api/" not in each} == set()  # the same, spelled so


async def resolved(app: web.Application, method: str, path: str) -> web.AbstractRoute:
    found = await app.router.resolve(make_mocked_request(method, path))
    return found.route


async def ask(browser: Browser, method: str, path: str) -> Seen:
    if method == "GET":
        return await browser.get(path)
    page = await browser.get("/me" if "zekt-session" in browser.cookies else "/login")
    return await browser.send(page, path, **FIELDS.get(path, {}))


def posted() -> set[str]:
    """What forms are sent to."""
    machines = ("/webhooks/", "/api/")
    return {path for method, path in MATRIX if method == "POST" and not path.startswith(machines)}


async def test_no_form_is_taken_without_its_token_or_from_elsewhere(people: list[Browser]) -> None:
    *_, operator = people
    shown = await operator.get("/me")
    for path in posted():
        assert (await operator.post(path, FIELDS.get(path, {}))).status == 403, path
        sent = {"csrf": shown.token, **FIELDS.get(path, {})}
        for origin in ("https://evil.example", "null", ""):
            assert (await operator.post(path, sent, Origin=origin)).status == 403, path
    assert (await operator.get("/me")).status == 200


async def test_a_deed_is_done_by_post_alone(people: list[Browser]) -> None:
    """What a link or an image can ask for changes nothing."""
    *_, operator = people
    shown = {path for method, path in MATRIX if method == "GET"}
    for path in posted() - shown:
        refused = await operator.get(path)
        assert refused.status == 405, path


async def test_a_page_of_operators_is_theirs_alone(
    migrated_sqlite: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate before it, whatever the page."""
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
