"""An App at GitHub compared with `app.yml`: what differs, and a key that is seconds old."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.operations.setting_up import BROWSER, ME, MONA, Scene, open_scene
from zekt_bot import environment
from zekt_bot.config import AppCredentials
from zekt_bot.errors import AccessDenied
from zekt_bot.github import installations as at_github
from zekt_bot.operations import app_check, server_check, setup_apps
from zekt_bot.operations.setup import APPS
from zekt_bot.operations.setup_apps import Draft
from zekt_bot.testing import ManualClock
from zekt_bot.testing.shapes import Urls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from zekt_bot.testing import Installation


@pytest.fixture
async def scene(migrated_sqlite: str) -> AsyncIterator[Scene]:
    async with open_scene(migrated_sqlite, ManualClock()) as opened:
        yield opened


async def wrong(scene: Scene) -> dict[str, str]:
    """What differs of the orchestration App, by what."""
    found = await app_check.report(scene.broker, ME, "orchestrator")
    return {point.what: point.said for point in found.points if not point.ok}


async def compared(scene: Scene, _: Installation) -> bool:
    found = await app_check.report(scene.broker, ME, "orchestrator")
    return found.ok and (found.name, found.installations) == ("Zekt of Aurora", 1)


async def checked(scene: Scene, _: Installation) -> bool:
    """`zekt check`, a process of its own."""
    found = await server_check.check(scene.broker.settings, scene.clock)
    return next(each.ok for each in found if each.part == "App key")


async def read_with_a_token(scene: Scene, installed: Installation) -> bool:
    return await at_github.covered(scene.broker.github, installed.id) == []


async def requests_listed(scene: Scene, _: Installation) -> bool:
    return await at_github.requested(scene.broker.github) == []


@pytest.mark.parametrize("call", [compared, checked, read_with_a_token, requests_listed])
async def test_a_key_that_is_seconds_old_is_tried_for_some_seconds_more(
    scene: Scene, call: Callable[[Scene, Installation], Coroutine[Any, Any, bool]]
) -> None:
    answer = await scene.sent("orchestrator")
    await setup_apps.created(scene.broker, ME, "orchestrator", answer, BROWSER)
    (made,) = scene.github.core.world.apps.values()
    with scene.github.hold():
        installed = await scene.github.install(made, scene.github.account("aurora-labs"))
    asking = asyncio.create_task(call(scene, installed))
    for _ in range(3):
        while not scene.clock.waiting_until:
            await asyncio.sleep(0.01)
        scene.clock.advance(timedelta(seconds=1))
    assert await asking


async def test_a_key_that_stays_refused_is_told_at_once_when_it_is_old(scene: Scene) -> None:
    await scene.make("orchestrator")
    (made,) = scene.github.core.world.apps.values()
    made.known_from = scene.clock.now() + timedelta(days=1)
    asking = asyncio.create_task(app_check.report(scene.broker, ME, "orchestrator"))
    while not asking.done():
        while not scene.clock.waiting_until and not asking.done():
            await asyncio.sleep(0.01)
        scene.clock.advance(timedelta(seconds=4))
    assert "does not accept the App's key" in asking.result().points[0].said
    scene.clock.advance(timedelta(minutes=1))
    assert "does not accept the App's key" in (await wrong(scene))["key"]


async def test_a_clock_that_was_set_back_makes_nobody_wait_for_long(scene: Scene) -> None:
    await scene.make("orchestrator")
    (made,) = scene.github.core.world.apps.values()
    scene.clock.advance(timedelta(days=-1))
    made.known_from = scene.clock.now() + timedelta(days=1)
    asking = asyncio.create_task(wrong(scene))
    for _ in range(12):
        while not scene.clock.waiting_until:
            await asyncio.sleep(0.01)
        scene.clock.advance(timedelta(seconds=1))
    assert set(await asking) == {"key"}


@pytest.mark.parametrize("fault", [{"status": 502}, {"status": 404}])
async def test_when_github_is_not_well_that_is_what_is_told(scene: Scene, fault: Any) -> None:
    await scene.make("orchestrator")
    scene.github.fail("GET", "/app", **fault)
    assert set(await wrong(scene)) == {"key"}
    assert await wrong(scene) == {}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"content_type": "form"}, "application/json"),
        ({"insecure_ssl": "1"}, "certificate"),
        ({"secret": None}, "not signed"),
        ({"url": None}, "no address"),
        ({"url": "https://elsewhere.example"}, "and not to https://zekt.example"),
    ],
)
async def test_each_fault_of_the_webhook_is_named(
    scene: Scene, config: dict[str, Any], said: str
) -> None:
    await scene.make("orchestrator")
    whole = {
        "url": "https://zekt.example/webhooks/github",
        "content_type": "json",
        "insecure_ssl": "0",
        "secret": "********",
    }
    scene.github.fail("GET", "/app/hook/config", status=200, body={**whole, **config})
    found = await wrong(scene)
    assert set(found) == {"webhook"}
    assert said in found["webhook"]


async def test_behind_a_webhook_proxy_another_address_is_no_fault(migrated_sqlite: str) -> None:
    local = "http://localhost:8080"
    where = {"public_url": local, "github_url": "https://github.com"}
    async with open_scene(migrated_sqlite, ManualClock(), **where) as scene:
        own = scene.github.app("zekt", hook_url="https://smee.example/a")
        key = AppCredentials(str(own.app_id), own.private_key, (b"0123456789abcdef",), "1")
        async with scene.another(orchestrator=key) as broker:
            found = await app_check.report(broker, ME, "orchestrator")
    assert found.ok
    assert "a proxy must bring them to http://localhost:8080/webhooks" in found.points[-1].said


async def test_a_github_enterprise_server_is_asked_at_its_own_addresses(
    migrated_sqlite: str,
) -> None:
    async with open_scene(migrated_sqlite, ManualClock(), api_prefix="/api/v3") as scene:
        await scene.make("orchestrator")
        found = await app_check.report(scene.broker, ME, "orchestrator")
    assert found.ok
    assert found.html_url == f"{scene.github.web_url}/apps/zekt-of-aurora"


async def test_ghe_com_is_asked_at_its_own_hosts(
    migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def led_here(host: str, *other: Any, **more: Any) -> Any:
        here = host in {"octo.ghe.com", "api.octo.ghe.com"}
        return resolve("127.0.0.1" if here else host, *other, **more)

    monkeypatch.setattr(socket, "getaddrinfo", led_here)
    async with open_scene(migrated_sqlite, ManualClock()) as scene:
        web = scene.github.web_url.replace("127.0.0.1", "octo.ghe.com")
        api = environment.github_api(web)
        scene.github.core.urls = Urls(api, web)
        scene.github.be_private()
        async with scene.another(github_url=web, github_api_url=api) as broker:
            there = replace(scene, broker=broker)
            handed = await setup_apps.begin(broker, ME, "oauth", Draft("Zekt", "octo-org"), BROWSER)
            assert handed.action.startswith(f"{web}/organizations/octo-org/settings/apps/new?")
            for app in APPS:
                await there.make(app)
                found = await app_check.report(broker, ME, app)
                assert found.ok
                assert (found.html_url or "").startswith(f"{web}/apps/zekt-")
                assert await broker.app_pages.install(app) == f"{found.html_url}/installations/new"
            asked = await broker.oauth.authorize_url("state", "verifier")
            assert asked.startswith(f"{web}/login/oauth/authorize?")
    hosts = {one.headers["host"] for one in scene.github.requests}
    assert hosts == {urlsplit(api).netloc}


async def test_without_a_key_nothing_is_asked(scene: Scene) -> None:
    for app in APPS:
        found = await app_check.report(scene.broker, ME, app)
        assert (found.ok, found.compared, found.installations) == (False, False, None)
        assert found.points[0].said == "Not compared, because it is not made yet."
    named = AppCredentials(app_id="1", client_id="Iv1", version="environment")
    async with scene.another(orchestrator=named) as broker:
        found = await app_check.report(broker, ME, "orchestrator")
    assert "set ZEKT_ORCHESTRATOR_PRIVATE_KEY" in found.points[0].said
    assert scene.github.requests == []


async def test_it_is_the_operators(scene: Scene) -> None:
    with pytest.raises(AccessDenied):
        await app_check.report(scene.broker, MONA, "oauth")
