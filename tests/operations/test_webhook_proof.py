"""Whether webhooks come: what GitHub's list of attempts proves, and what it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.operations.setting_up import ME, MONA, Scene, open_scene
from zekt_bot.app import serving
from zekt_bot.config import AppCredentials
from zekt_bot.errors import AccessDenied, Conflict
from zekt_bot.operations import webhook_proof
from zekt_bot.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.operations.webhook_proof import WebhookProof
    from zekt_bot.testing import App

LIST = "/app/hook/deliveries"


@pytest.fixture
async def scene(migrated_sqlite: str) -> AsyncIterator[Scene]:
    async with (
        open_scene(migrated_sqlite, ManualClock(), host="127.0.0.1", port=0) as opened,
        serving(opened.broker) as port,
    ):
        opened.github.lead("https://zekt.example", f"http://127.0.0.1:{port}")
        yield opened


async def made(scene: Scene) -> App:
    """The orchestration App, whose ping came when nobody knew its secret."""
    await scene.make("orchestrator")
    await scene.github.settle()
    (app,) = scene.github.core.world.apps.values()
    return app


async def tried(scene: Scene) -> WebhookProof:
    """What is seen after a test event."""
    await webhook_proof.send_test(scene.broker, ME, "orchestrator")
    await scene.github.settle()
    return await seen(scene)


async def seen(scene: Scene) -> WebhookProof:
    found = await webhook_proof.look(scene.broker, ME, "orchestrator")
    assert found
    return found


async def test_a_test_event_proves_the_way_and_the_signature(scene: Scene) -> None:
    await made(scene)
    before = await seen(scene)
    assert (before.ok, before.came.ok) == (False, False)
    assert "could not take it then (503)" in before.came.said
    assert before.went_round.said == "None was sent yet."
    found = await tried(scene)
    assert (found.ok, found.came.ok, found.went_round.ok) == (True, True, True)
    assert found.went_round.at == scene.clock.now()


@pytest.mark.parametrize("named", [False, True], ids=["stored", "environment"])
async def test_another_secret_at_github_is_seen_and_how_it_is_mended(
    scene: Scene, named: bool
) -> None:
    app = await made(scene)
    await tried(scene)
    app.webhook_secret = "another one than the server has"
    found = await tried(scene)
    assert (found.ok, found.came.ok, found.went_round.ok) == (False, True, False)
    assert "refused its signature (401)" in found.went_round.said
    assert "zekt rotate-secrets webhook-secret orchestrator" in found.went_round.said
    if named:
        own = AppCredentials(webhook_secrets=(b"0123456789abcdef",), version="environment")
        async with scene.another(orchestrator=own) as broker:
            there = await webhook_proof.look(broker, ME, "orchestrator")
        assert there
        assert "in ZEKT_ORCHESTRATOR_WEBHOOK_SECRET" in there.went_round.said


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            {"status_code": 502, "status": "failed to connect to host"},
            "(failed to connect to host)",
        ),
        ({"status_code": 404, "status": ""}, "(404)"),
        ({"status_code": None, "status": None}, "(nothing)"),
    ],
)
async def test_what_github_heard_instead_is_told(
    scene: Scene, told: dict[str, Any], said: str
) -> None:
    await made(scene)
    row = {"id": 1, "guid": "g", "event": "ping", "delivered_at": "2026-07-01T12:00:00Z", **told}
    scene.github.fail("GET", LIST, status=200, body=[row])
    found = await seen(scene)
    assert said in found.came.said
    assert "https://zekt.example/webhooks/github" in found.came.said


@pytest.mark.parametrize(
    ("public_url", "body", "said"),
    [
        (
            "https://zekt.example",
            "welcome to nginx",
            "another answered in this server's place (200)",
        ),
        ("https://zekt.example", "[]", "another answered in this server's place (200)"),
        ("https://zekt.example", '{"delivery": "another"}', "before https://zekt.example/webhooks"),
        ("https://zekt.example", None, "this server took it"),
        (
            "http://localhost:8080",
            None,
            "a webhook proxy answered (200); whether it brought this on",
        ),
    ],
)
async def test_who_answers_in_this_server_s_place_proves_nothing(
    migrated_sqlite: str, public_url: str, body: str | None, said: str
) -> None:
    async with open_scene(migrated_sqlite, ManualClock(), public_url=public_url) as scene:
        own = scene.github.app("zekt", hook_url="https://proxy.example/a")
        secret = own.webhook_secret.encode()
        key = AppCredentials(str(own.app_id), own.private_key, (secret,), "1")
        row = {
            "id": 1,
            "guid": "g",
            "event": "ping",
            "delivered_at": "2026-07-01T12:00:00Z",
            "status_code": 200,
            "redelivery": True,
        }
        scene.github.fail("GET", LIST, status=200, body=[row])
        scene.github.fail("GET", f"{LIST}/1", status=200, body={"response": {"payload": body}})
        async with scene.another(orchestrator=key) as broker:
            found = await webhook_proof.look(broker, ME, "orchestrator")
    assert found
    ok = said == "this server took it"
    assert (found.ok, found.came.ok, found.went_round.ok) == (ok, ok, ok)
    assert said in found.came.said


async def test_what_a_proxy_brought_on_is_known_by_its_guid(scene: Scene) -> None:
    app = await made(scene)
    await scene.github.install(app, scene.github.account("aurora-labs"))
    (installed,) = [one for one in scene.github.deliveries if one.event == "installation"]
    installed.response_body = "ok"  # what smee.io answers
    assert (await seen(scene)).came.ok


async def test_behind_a_proxy_a_test_event_is_one_that_leaves_a_row(scene: Scene) -> None:
    app = await made(scene)
    await tried(scene)
    await scene.github.install(app, scene.github.account("aurora-labs"))
    async with scene.another(public_url="http://localhost:8080") as broker:
        await webhook_proof.send_test(broker, ME, "orchestrator")
        await scene.github.settle()
        for one in scene.github.deliveries:
            one.response_body = "ok"
        found = await webhook_proof.look(broker, ME, "orchestrator")
    assert found
    assert (found.ok, found.went_round.ok) == (True, True)
    assert found.went_round.said.startswith("installation:")


async def test_where_nothing_was_sent_or_github_is_down_that_is_said(scene: Scene) -> None:
    assert await webhook_proof.look(scene.broker, ME, "orchestrator") is None
    await made(scene)
    scene.github.deliveries.clear()
    found = await seen(scene)
    assert found.came.said == "GitHub has sent none for three days."
    with pytest.raises(Conflict, match="nothing for three days that can be sent again"):
        await webhook_proof.send_test(scene.broker, ME, "orchestrator")
    scene.github.fail("GET", LIST, status=502)
    down = await seen(scene)
    assert (down.ok, "502" in down.came.said) == (False, True)


async def test_it_is_the_operators(scene: Scene) -> None:
    for ask in (webhook_proof.look, webhook_proof.send_test):
        with pytest.raises(AccessDenied):
            await ask(scene.broker, MONA, "oauth")
