"""The end of the setup: what will not work is named, and left so only by choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.db.rows import stored
from tests.operations.setting_up import ME, MONA, Scene, open_scene
from zekt_bot.app import serving
from zekt_bot.config import AppCredentials
from zekt_bot.db.tables import audit
from zekt_bot.errors import AccessDenied, Conflict
from zekt_bot.operations import setup, setup_check
from zekt_bot.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.testing import App


@pytest.fixture
async def scene(migrated_sqlite: str) -> AsyncIterator[Scene]:
    """All is done, and GitHub reaches this server."""
    async with (
        open_scene(migrated_sqlite, ManualClock(), host="127.0.0.1", port=0) as opened,
        serving(opened.broker) as port,
    ):
        opened.github.lead("https://zekt.example", f"http://127.0.0.1:{port}")
        await opened.until_operator()
        await setup.choose_accounts(opened.broker, ME, [])
        await opened.github.settle()
        for app in opened.github.core.world.apps.values():
            await opened.github.install(app, opened.github.sender)
        yield opened


def orchestrator(scene: Scene) -> App:
    apps = scene.github.core.world.apps.values()
    return next(one for one in apps if one.slug == "zekt-of-aurora")


async def test_where_all_is_well_it_ends(scene: Scene) -> None:
    assert (await setup_check.look(scene.broker, ME)).doubts == ()
    assert await setup_check.finish(scene.broker, ME) is None
    with pytest.raises(Conflict, match="The setup is finished"):
        await setup_check.finish(scene.broker, ME)


async def test_each_difference_says_what_will_not_work(scene: Scene) -> None:
    app = orchestrator(scene)
    app.permissions = {"actions": "read", "metadata": "read"}
    app.events = ("workflow_run",)
    app.hook_url = "https://elsewhere.example"
    found = await setup_check.finish(scene.broker, ME)
    assert found
    assert [said.partition(". ")[0].partition(": ")[0] for said in found.doubts] == (
        ["Orchestration App"] * 3
    )
    for said in ("contents: write. GitHub refuses", "never heard of", "Webhooks do not come"):
        assert any(said in one for one in found.doubts), said
    assert not await setup.is_finished(scene.broker)
    assert await setup_check.finish(scene.broker, ME, anyway=True) is None
    ended = (await stored(scene.broker.database, audit))[-1]
    assert (ended["verb"], ended["details"]) == ("person:setup:finished", '{"doubts":3}')


async def test_github_s_silence_and_a_wrong_secret_are_doubts(scene: Scene) -> None:
    app = orchestrator(scene)
    app.webhook_secret = "another one than the server has"
    await scene.github.ping(app)
    found = await setup_check.look(scene.broker, ME)
    assert [one.partition(" rightly")[0] for one in found.doubts] == [
        "Orchestration App: No webhook is known to come here"
    ]
    scene.github.fail("GET", "/app", status=502, times=2)
    found = await setup_check.look(scene.broker, ME)
    assert sum("Nothing can be asked of GitHub as this App." in one for one in found.doubts) == 2


async def test_a_sign_in_app_that_cannot_be_compared_is_no_doubt(scene: Scene) -> None:
    classic = AppCredentials(client_id="Ov23", client_secret="hush hush", version="environment")
    async with scene.another(oauth=classic) as broker:
        found = await setup_check.look(broker, ME)
    assert found.doubts == ()
    assert [one.compared for one in found.reports] == [True, False]
    assert [one.app for one in found.webhooks] == ["orchestrator"]


async def test_no_step_is_left_out_and_it_is_the_operators(migrated_sqlite: str) -> None:
    async with open_scene(migrated_sqlite, ManualClock()) as scene:
        with pytest.raises(Conflict, match="not there yet"):
            await setup_check.finish(scene.broker, ME, anyway=True)
        for ask in (setup_check.look, setup_check.finish):
            with pytest.raises(AccessDenied):
                await ask(scene.broker, MONA)
