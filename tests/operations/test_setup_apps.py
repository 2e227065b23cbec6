"""Making the Apps: a state of one browser, a code that is exchanged once, all stored or nothing."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.db.rows import stored
from tests.operations.setting_up import BROWSER, ME, OTHER_BROWSER, Scene, scene
from zekt_bot.db import setup as rows
from zekt_bot.db.tables import credentials, metadata
from zekt_bot.errors import (
    Conflict,
    GitHubAnswered,
    GitHubError,
    InvalidInput,
    OutcomeUnknown,
    StorageUnavailable,
)
from zekt_bot.github.manifest import manifest
from zekt_bot.operations import setup_apps
from zekt_bot.operations.setup_apps import Draft, begin, created

if TYPE_CHECKING:
    from zekt_bot.config import App
    from zekt_bot.operations.broker import Broker

__all__ = ["scene"]

CONVERSIONS = "/app-manifests/*/conversions"
SECOND = timedelta(seconds=1)


async def kept(scene: Scene) -> set[str]:
    """The names of what is stored of the Apps."""
    found = await stored(scene.broker.database, credentials)
    return {row["name"] for row in found if row["app"] != "zekt"}


async def refused(scene: Scene, app: App, answer: tuple[str, str], browser: str = BROWSER) -> str:
    with pytest.raises(Conflict) as caught:
        await created(scene.broker, ME, app, answer, browser)
    return str(caught.value)


@pytest.mark.parametrize("app", ["oauth", "orchestrator"])
async def test_what_github_gives_acts_in_every_process_without_a_restart(
    scene: Scene, app: App
) -> None:
    async with scene.another() as other:
        assert (await other.credentials.get(app)).app_id is None
        await scene.make(app)
        (made,) = scene.github.core.world.apps.values()
        for broker in (scene.broker, other):
            found = await broker.credentials.get(app)
            assert found.app_id == str(made.id)
            assert (found.client_id, found.client_secret) == (made.client_id, made.client_secret)
            assert found.webhook_secrets == (made.webhook_secret.encode(),)
            assert (found.slug, found.private_key) == (made.slug, made.private_key)
            answer = await broker.github.beside(app).ask_as_app("/app")
            assert answer.mapping()["slug"] == made.slug


async def test_the_manifest_is_app_yml_with_the_servers_addresses(scene: Scene) -> None:
    told = Draft("  Our Zekt ", "aurora-labs", "https://smee.example/abc")
    handed = await begin(scene.broker, ME, "orchestrator", told, BROWSER)
    base = f"{scene.github.web_url}/organizations/aurora-labs/settings/apps/new?state="
    assert handed.action.startswith(base)
    wanted = manifest("orchestrator", "https://zekt.example")
    wanted["hook_attributes"]["url"] = "https://smee.example/abc"
    assert json.loads(handed.manifest) == {**wanted, "name": "Our Zekt"}
    assert "{public_url}" not in handed.manifest
    mine = await begin(scene.broker, ME, "oauth", Draft("Zekt"), BROWSER)
    assert mine.action.startswith(f"{scene.github.web_url}/settings/apps/new?state=")


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (Draft(" "), "name"),
        (Draft("z" * 35), "name"),
        (Draft("Zekt", hook_url="http://smee.example/abc"), "hook_url"),
        (Draft("Zekt", hook_url="smee.example"), "hook_url"),
        (Draft("Zekt", organization="../../evil"), "organization"),
    ],
)
async def test_what_github_would_refuse_is_said_before(
    scene: Scene, draft: Draft, field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await begin(scene.broker, ME, "oauth", draft, BROWSER)
    assert caught.value.data.get("field") == field


async def test_an_answer_is_good_once_and_in_its_own_browser(scene: Scene) -> None:
    code, state = await scene.sent("oauth")
    assert "another browser" in await refused(scene, "oauth", (code, state), OTHER_BROWSER)
    assert "no step" in await refused(scene, "oauth", (code, "made up"))
    assert "no step" in await refused(scene, "orchestrator", (code, state))
    assert await kept(scene) == set()
    assert scene.github.requests == []
    await created(scene.broker, ME, "oauth", (code, state), BROWSER)
    before = await kept(scene)
    assert "done already" in await refused(scene, "oauth", (code, state))
    assert await kept(scene) == before


async def test_an_answer_that_comes_too_late_or_is_wrong_stores_nothing(scene: Scene) -> None:
    _, state = await scene.sent("oauth")
    assert "does not know this code" in await refused(scene, "oauth", ("../../user", state))
    assert scene.github.requests == []
    _, state = await scene.sent_again("oauth")
    assert "does not know this code" in await refused(scene, "oauth", ("f" * 40, state))
    answer = await scene.sent_again("oauth", "a third")
    scene.clock.advance(setup_apps.STATE_LIFE)
    assert "too late" in await refused(scene, "oauth", answer)
    assert await kept(scene) == set()


async def test_github_is_asked_once_however_often_the_answer_comes(scene: Scene) -> None:
    answer = await scene.sent("oauth")
    async with scene.another() as other:
        every = [
            created(broker, ME, "oauth", answer, BROWSER)
            for broker in (scene.broker, other, scene.broker, other)
        ]
        ended = await asyncio.gather(*every, return_exceptions=True)
    assert [each for each in ended if each is None] == [None]
    assert all(isinstance(each, Conflict) for each in ended if each is not None)
    asked = [one for one in scene.github.requests if "conversions" in one.path]
    assert len(asked) == 1
    assert len(await kept(scene)) == 7


@pytest.mark.parametrize("fault", [{"status": 502}, {"reset": True}, {"status": 429}])
async def test_when_github_is_not_well_the_same_answer_is_tried_again(
    scene: Scene, fault: Any
) -> None:
    answer = await scene.sent("orchestrator")
    scene.github.fail("POST", CONVERSIONS, **fault)
    with pytest.raises(GitHubError):
        await created(scene.broker, ME, "orchestrator", answer, BROWSER)
    assert await kept(scene) == set()
    await created(scene.broker, ME, "orchestrator", answer, BROWSER)
    assert len(await kept(scene)) == 7


async def test_an_answer_that_githubs_loss_has_used_up_says_so(scene: Scene) -> None:
    answer = await scene.sent("oauth")
    scene.github.fail("POST", CONVERSIONS, status=502, when="after")
    with pytest.raises(GitHubError):
        await created(scene.broker, ME, "oauth", answer, BROWSER)
    assert "delete it there" in await refused(scene, "oauth", answer)
    assert await kept(scene) == set()


async def test_an_answer_that_is_not_githubs_stores_nothing(scene: Scene) -> None:
    answer = await scene.sent("oauth")
    scene.github.fail("POST", CONVERSIONS, status=201, body={"id": 1, "slug": "x"})
    with pytest.raises(GitHubAnswered, match="html_url is not a text"):
        await created(scene.broker, ME, "oauth", answer, BROWSER)
    assert await kept(scene) == set()


@pytest.mark.parametrize("loses", [StorageUnavailable, OutcomeUnknown])
async def test_a_database_that_is_away_for_a_moment_loses_no_secret(
    scene: Scene, loses: type[StorageUnavailable], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await scene.sent("oauth")
    write, fails = scene.broker.database.write, [True]

    async def shaky(fn: Any, row: Any, **more: Any) -> Any:
        if fn is not rows.put_app or not fails:
            return await write(fn, row, **more)
        fails.pop()
        if loses is OutcomeUnknown:
            await write(fn, row, **more)
        raise loses

    monkeypatch.setattr(scene.broker.database, "write", shaky)
    doing = asyncio.create_task(created(scene.broker, ME, "oauth", answer, BROWSER))
    while not scene.clock.waiting_until:
        await asyncio.sleep(0.01)
    scene.clock.advance(SECOND)
    await doing
    assert len(await kept(scene)) == 7


async def test_a_database_that_stays_away_is_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await scene.sent("oauth")
    write = scene.broker.database.write

    async def away(fn: Any, row: Any, **more: Any) -> Any:
        if fn is rows.put_app:
            raise StorageUnavailable
        return await write(fn, row, **more)

    async def at_once(_: Any) -> None:
        return

    monkeypatch.setattr(scene.broker.database, "write", away)
    monkeypatch.setattr(scene.clock, "sleep_until", at_once)
    with pytest.raises(StorageUnavailable):
        await created(scene.broker, ME, "oauth", answer, BROWSER)
    assert await kept(scene) == set()


async def test_a_second_app_waits_until_the_first_is_forgotten(scene: Scene) -> None:
    answer = await scene.sent("oauth")
    late = await scene.sent_again("oauth")
    await created(scene.broker, ME, "oauth", answer, BROWSER)
    scene.clock.advance(SECOND)
    assert "such an App already" in await refused(scene, "oauth", late)
    with pytest.raises(Conflict, match="such an App already"):
        await begin(scene.broker, ME, "oauth", Draft("Zekt"), BROWSER)
    assert await setup_apps.forget(scene.broker, ME, "oauth") is True
    assert await setup_apps.forget(scene.broker, ME, "oauth") is False
    assert await kept(scene) == set()
    scene.clock.advance(SECOND)
    again = await scene.sent_again("oauth", "Zekt sign-in anew")
    await created(scene.broker, ME, "oauth", again, BROWSER)


async def test_no_secret_stands_in_clear_in_errors_or_the_database(scene: Scene) -> None:
    await scene.make("orchestrator")
    (made,) = scene.github.core.world.apps.values()
    everything = repr(await _dump(scene.broker))
    for secret in (made.client_secret, made.webhook_secret, made.private_key[40:80]):
        assert secret not in everything


async def _dump(broker: Broker) -> list[Any]:
    return [await stored(broker.database, each) for each in metadata.sorted_tables]
