"""No secret stands where it can be read: in pages, logs, errors or the database, in clear."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.web.console.walk import Walk, walking
from zekt_bot.operations import my_repositories, user_tokens
from zekt_bot.operations.sessions import find

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SESSION, BROWSER = "__Host-zekt-session", "__Host-zekt-browser"


@pytest.fixture
async def walk(migrated_sqlite: str) -> AsyncIterator[Walk]:
    async with walking(migrated_sqlite) as begun:
        yield begun


def credentials(walk: Walk) -> set[str]:
    """What opens something at GitHub: no page shows it, whoever looks at it."""
    core = walk.scene.github.core
    found: set[str] = set(core.world.tokens)
    for app in core.world.apps.values():
        found |= {app.client_secret, app.webhook_secret, *app.private_key.splitlines()[1:3]}
    for token in core.people.tokens.values():
        found |= {token.value, token.refresh or ""}
    for asked in walk.scene.github.requests:
        found |= {asked.headers.get("authorization", "").partition(" ")[2]}
    return found - {""}


def on_their_way(walk: Walk) -> set[str]:
    """What is good once: a form or a link may hold it, a log or the database may not."""
    names = ("code", "state", "token", "code_verifier")
    asked = walk.scene.github.requests
    told = [*(one.query for one in asked), *(dict(parse_qsl(one.body.decode())) for one in asked)]
    led = [urlsplit(seen.headers.get("Refresh", "")).query for seen in walk.browser.seen]
    told += [dict(parse_qsl(query)) for query in led]
    codes = [re.search(r"/app-manifests/([^/]+)/", one.path) for one in asked]
    return {query[name] for query in told for name in names if name in query} | {
        found[1] for found in codes if found
    }


async def everything(walk: Walk) -> None:
    """From the link to the repositories, with what goes wrong on the way."""
    browser, github = walk.browser, walk.scene.github
    await walk.enter()
    for app, name in (("oauth", "Zekt sign-in"), ("orchestrator", "Zekt of Aurora")):
        back = await walk.to_github(app, name)
        github.fail("POST", "/app-manifests/*", status=502, body=back)
        assert (await browser.get(back)).status == 503
        assert (await browser.get(back)).status == 303
        assert (await browser.get(back)).status == 409
        walk.scene.clock.advance(timedelta(seconds=5))
    github.fail("POST", "/login/oauth/access_token", status=400, body="client_secret=what you sent")
    assert (await walk.sign_in("mona")).status == 403
    assert (await walk.sign_in("mona")).status == 303
    for path in ("/setup/check", "/apps", "/me", "/repositories", "/nowhere", "/consent"):
        await browser.get(path)
    walk.scene.clock.advance(timedelta(minutes=2))
    github.fail("GET", "/user/*", status=500, body="a body of GitHub", times=4)
    assert (await browser.get("/repositories")).status == 503


async def test_no_secret_stands_in_pages_logs_errors_or_the_database(
    walk: Walk, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await everything(walk)
    browser, broker = walk.browser, walk.scene.broker
    session = await find(broker, browser.cookies[SESSION])
    assert session is not None

    async def unforeseen(*_: object) -> None:
        await user_tokens.with_token(broker, session, break_down)

    async def break_down(token: str) -> None:
        raise RuntimeError(f"nobody foresaw this, and it names {token}")

    monkeypatch.setattr(my_repositories, "listing", unforeseen)
    assert (await browser.get("/repositories")).status == 500

    cookies = {browser.cookies[SESSION], browser.cookies[BROWSER]}
    secret, passing = credentials(walk) | cookies, on_their_way(walk)
    assert (len(secret) > 12, len(passing) > 6) == (True, True)
    pages = "\n".join(seen.text for seen in browser.seen)
    assert [each for each in secret if each in pages] == []
    logged = "".join(capfd.readouterr())
    held = await broker.credentials.get("orchestrator")
    told = logged + repr((broker.settings, held, session, broker.oauth, broker.github))
    assert "RuntimeError" in logged
    assert [each for each in secret | passing if each in told] == []
    stored = database(walk)
    assert b"zekt-of-aurora" in stored
    assert [each for each in secret | passing if each.encode() in stored] == []


def database(walk: Walk) -> bytes:
    """All bytes that stand on the disk."""
    path = Path(re.sub(r"^sqlite:///", "", walk.scene.url))
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*"))
