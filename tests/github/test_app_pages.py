"""Where an App is installed: learned of GitHub, never stale, never in a page's way for long."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from zekt_bot.config import AppCredentials
from zekt_bot.github import app_pages
from zekt_bot.github.app_pages import AppPages
from zekt_bot.github.client import GitHub
from zekt_bot.testing.world import private_key

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from tests.github.server import FakeGitHub, FixedCredentials, TestClock
    from zekt_bot.config import Settings

AURORA = "https://ghes.example/github-apps/zekt-aurora"


def app_of(slug: str, number: int = 12) -> dict[str, Any]:
    return {"id": number, "html_url": f"https://ghes.example/github-apps/{slug}"}


@pytest.fixture
def pages(github: GitHub, credentials: FixedCredentials, clock: TestClock) -> AppPages:
    return AppPages(github, credentials, clock)


async def test_it_is_asked_once_and_again_after_an_hour(
    pages: AppPages, fake: FakeGitHub, clock: TestClock
) -> None:
    for slug in ("zekt-aurora", "renamed"):
        fake.script("GET", "/app", 200, app_of(slug))
        for _ in range(2):
            link = await pages.install("orchestrator")
            assert link == f"https://ghes.example/github-apps/{slug}/installations/new"
            clock.pass_(minutes=30)
    assert fake.count("GET", "/app") == 2


async def test_after_a_failure_it_is_asked_more_and_more_seldom(
    pages: AppPages, fake: FakeGitHub, clock: TestClock
) -> None:
    for pause in (5, 10, 20):
        fake.script("GET", "/app", 502)
        for _ in range(2):
            assert await pages.install("orchestrator") == ""
            clock.pass_(seconds=pause / 2)
    assert fake.count("GET", "/app") == 3
    fake.script("GET", "/app", 200, app_of("zekt-aurora"))
    assert await pages.install("orchestrator") == f"{AURORA}/installations/new"
    clock.pass_(hours=1)
    fake.script("GET", "/app", 502)
    assert await pages.install("orchestrator") == f"{AURORA}/installations/new", "the last known"


async def test_another_app_has_another_page_also_while_github_is_down(
    pages: AppPages, fake: FakeGitHub, credentials: FixedCredentials
) -> None:
    fake.script("GET", "/app", 200, app_of("zekt-aurora"))
    assert await pages.install("orchestrator")
    same = credentials.found = replace(credentials.found, version="2")  # a new key of the same App
    fake.script("GET", "/app", 502)
    assert await pages.install("orchestrator") == f"{AURORA}/installations/new"
    credentials.found = replace(same, app_id="13", version="3")
    fake.script("GET", "/app", 502)
    assert await pages.install("orchestrator") == ""
    credentials.found = replace(same, app_id="14", version="4")
    fake.script("GET", "/app", 200, app_of("other", 14))
    assert "/other/" in await pages.install("orchestrator")


async def test_what_github_said_at_its_making_serves_where_there_is_nothing_newer(
    pages: AppPages, fake: FakeGitHub, credentials: FixedCredentials
) -> None:
    credentials.found = AppCredentials(app_id="12", version="1", html_url=AURORA)
    assert await pages.install("orchestrator") == f"{AURORA}/installations/new"
    assert fake.seen == []
    key = private_key(0)
    credentials.found = replace(credentials.found, version="2", private_key=key)
    fake.script("GET", "/app", 200, {"id": 12, "html_url": None})
    assert await pages.install("orchestrator") == f"{AURORA}/installations/new"
    credentials.found = AppCredentials(client_id="Ov23", version="3")
    assert await pages.install("orchestrator") == "", "a classic OAuth App is not installed"


async def test_a_github_that_does_not_answer_holds_no_page_up(
    settings: Settings,
    credentials: FixedCredentials,
    clock: TestClock,
    session: ClientSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app_pages, "MOMENT", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = replace(settings, github_api_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        github = GitHub(where, credentials, clock, session)
        pages = AppPages(github, credentials, clock)
        assert await pages.install("orchestrator") == ""
