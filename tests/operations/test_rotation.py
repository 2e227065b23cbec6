"""New secrets: at no moment is a webhook refused, a value unreadable or a key lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import LargeBinary

from tests.db.rows import KEY, put, stored
from tests.operations.setting_up import ME, MONA, Scene, open_scene, scene
from zekt_bot.config import AppCredentials
from zekt_bot.db import resealing
from zekt_bot.db.resealing import COLUMNS
from zekt_bot.db.tables import credentials, inbox, metadata, sessions, web_states
from zekt_bot.errors import (
    AccessDenied,
    ConfigurationError,
    Conflict,
    DecryptionFailed,
    GitHubError,
)
from zekt_bot.operations import rotation
from zekt_bot.testing import ManualClock
from zekt_bot.testing.world import private_key

if TYPE_CHECKING:
    from zekt_bot.operations.broker import Broker
    from zekt_bot.testing import App

__all__ = ["scene"]

NEWER = "a newer key of the tests that is long too"
GRACE = timedelta(seconds=30)


async def made(scene: Scene) -> App:
    """The orchestration App, as the setup makes it."""
    await scene.make("orchestrator")
    (app,) = scene.github.core.world.apps.values()
    return app


async def taken(broker: Broker) -> tuple[str, ...]:
    """The webhook secrets that a process takes now."""
    found = (await broker.credentials.get("orchestrator")).webhook_secrets
    return tuple(each.decode() for each in found)


async def asleep(scene: Scene) -> None:
    while not scene.clock.waiting_until:
        await asyncio.sleep(0.01)


def rotate(scene: Scene) -> asyncio.Task[None]:
    work = rotation.rotate_webhook_secret(scene.broker, ME, "orchestrator", GRACE)
    return asyncio.create_task(work)


async def test_a_webhook_secret_is_taken_before_github_has_it_and_after(scene: Scene) -> None:
    app = await made(scene)
    former = app.webhook_secret
    async with scene.another() as other:
        doing = rotate(scene)
        await asleep(scene)
        assert app.webhook_secret == former
        scene.clock.advance(timedelta(seconds=2))
        while app.webhook_secret == former:
            await asyncio.sleep(0.01)
        assert await taken(other) == (app.webhook_secret, former)  # before GitHub signs with it
        await asleep(scene)
        scene.clock.advance(GRACE)
        await doing
        scene.clock.advance(timedelta(seconds=1))
        assert await taken(other) == await taken(scene.broker) == (app.webhook_secret,)
    assert len(app.webhook_secret) == 64


@pytest.mark.parametrize("when", ["before", "after"])
async def test_where_github_does_not_say_that_it_has_it_both_are_taken(
    scene: Scene, when: Any
) -> None:
    app = await made(scene)
    former = app.webhook_secret
    scene.github.fail("PATCH", "/app/hook/config", status=502, when=when)
    doing = rotate(scene)
    await asleep(scene)
    scene.clock.advance(timedelta(seconds=2))
    with pytest.raises(GitHubError):
        await doing
    assert (app.webhook_secret == former) is (when == "before")
    scene.clock.advance(timedelta(seconds=1))
    assert {former, app.webhook_secret} <= set(await taken(scene.broker))
    doing = rotate(scene)
    for seconds in (2, 30):
        await asleep(scene)
        scene.clock.advance(timedelta(seconds=seconds))
        await asyncio.sleep(0.1)
    await doing
    scene.clock.advance(timedelta(seconds=1))
    assert await taken(scene.broker) == (app.webhook_secret,)


async def test_two_rotations_at_once_drop_nothing_that_github_signs_with(scene: Scene) -> None:
    app = await made(scene)
    first, second = rotate(scene), rotate(scene)
    while under_way := sum(not each.done() for each in (first, second)):
        if len(scene.clock.waiting_until) == under_way:  # no token of the App's ages on its way
            scene.clock.advance(timedelta(seconds=10))
        await asyncio.sleep(0.01)
    ended = [first.exception(), second.exception()]
    assert all(each is None or isinstance(each, Conflict) for each in ended)
    scene.clock.advance(timedelta(seconds=1))
    assert app.webhook_secret in await taken(scene.broker)


async def test_a_private_key_is_used_once_github_has_taken_it(scene: Scene) -> None:
    app = await made(scene)
    newer = private_key(7)
    with pytest.raises(Conflict, match="GitHub does not take this key"):
        await rotation.replace_private_key(scene.broker, ME, "orchestrator", newer)
    with pytest.raises(ConfigurationError, match="RSA private key"):
        await rotation.replace_private_key(scene.broker, ME, "orchestrator", "no key")
    scene.github.fail("GET", "/app", status=502)
    with pytest.raises(GitHubError):
        await rotation.replace_private_key(scene.broker, ME, "orchestrator", newer)
    assert (await scene.broker.credentials.get("orchestrator")).private_key == app.private_key
    app.private_key = newer  # GitHub takes both then
    page = await rotation.replace_private_key(scene.broker, ME, "orchestrator", newer)
    assert page == f"{scene.github.web_url}/settings/apps/zekt-of-aurora"
    scene.clock.advance(timedelta(seconds=1))
    assert (await scene.broker.credentials.get("orchestrator")).private_key == newer
    assert (await scene.broker.github.ask_as_app("/app")).status == 200


async def test_what_the_environment_names_or_nobody_made_is_not_changed_here(
    migrated_sqlite: str,
) -> None:
    own = AppCredentials("12", "pem", (b"a secret of the hook",), "environment")
    async with open_scene(migrated_sqlite, ManualClock(), orchestrator=own) as scene:
        for app, said in (("orchestrator", "ZEKT_ORCHESTRATOR_"), ("oauth", "No sign-in App")):
            with pytest.raises(Conflict, match=said):
                await rotation.rotate_webhook_secret(scene.broker, ME, app)  # type: ignore[arg-type]
            with pytest.raises(Conflict, match=said):
                await rotation.replace_private_key(scene.broker, ME, app, "k")  # type: ignore[arg-type]


async def test_what_is_stored_opens_with_the_new_key_alone_afterwards(scene: Scene) -> None:
    app = await made(scene)
    await _sealed_rows(scene.broker, 45)
    async with scene.another(secret_keys=(NEWER, KEY)) as both:
        sealed = await rotation.seal_anew(both, ME)
        assert sealed == 7 + 1 + 45 + 2  # the App's, the canary, the webhooks, the two ways
        assert await rotation.seal_anew(both, ME) == 0
    async with scene.another(secret_keys=(NEWER,)) as new:
        found = await new.credentials.get("orchestrator")
        assert found.private_key == app.private_key
        for row in await stored(new.database, inbox):
            if row["raw"]:
                opened = new.database.keyring.open(("inbox", "raw", row["id"]), row["raw"])
                assert opened == row["id"].encode()
        for table, key in ((sessions, "s"), (web_states, "w")):
            (row,) = [each for each in await stored(new.database, table) if each["hash"] == key]
            place = (table.name, "body", key)
            assert new.database.keyring.open(place, row["body"]) == b"sealed"


async def _sealed_rows(broker: Broker, webhooks: int) -> None:
    seal, now = broker.database.keyring.seal, broker.now()
    rows: list[dict[str, Any]] = [
        {
            "id": f"inb_{number:03}",
            "app": "orchestrator",
            "guid": str(number),
            "event": "ping",
            "state": "new",
            "failures": 0,
            "received_at": now,
            "raw": seal(("inbox", "raw", f"inb_{number:03}"), f"inb_{number:03}".encode()),
        }
        for number in range(webhooks)
    ]
    rows.append({**rows[0], "id": "inb_x", "guid": "x", "raw": None})
    await broker.database.write(put, (inbox, rows))
    session = {
        "hash": "s",
        "account_id": 1,
        "device": "",
        "started_at": now,
        "seen_at": now,
        "expires_at": now,
        "version": 1,
        "body": seal(("sessions", "body", "s"), b"sealed"),
    }
    await broker.database.write(put, (sessions, [session]))
    way = {
        "hash": "w",
        "purpose": "sign-in",
        "browser": "b",
        "expires_at": now,
        "body": seal(("web_states", "body", "w"), b"sealed"),
    }
    await broker.database.write(put, (web_states, [way]))


async def test_what_was_written_meanwhile_stays(scene: Scene) -> None:
    await made(scene)
    async with scene.another(secret_keys=(NEWER, KEY)) as both:
        (of_apps, *_) = COLUMNS
        keyring = both.database.keyring
        rows = await both.database.query(resealing.stale, of_apps, keyring.current, None)
        page = resealing.anew(keyring, of_apps, rows)
        await rotation.seal_anew(both, ME)
        before = await stored(both.database, credentials)
        assert await both.database.write(resealing.put, page) == 0
        assert await stored(both.database, credentials) == before


async def test_a_value_that_no_key_opens_stops_it_by_name(scene: Scene) -> None:
    await made(scene)
    row = {"app": "oauth", "name": "slug", "body": b"\x01" + b"x" * 40, "version": "1"}
    await scene.broker.database.write(put, (credentials, [row]))
    with pytest.raises(DecryptionFailed):
        await rotation.seal_anew(scene.broker, ME)


def test_every_sealed_column_is_sealed_anew() -> None:
    binary = {
        f"{table.name}.{column.name}"
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    assert {sealed.name for sealed in COLUMNS} == binary


async def test_it_is_the_operators(scene: Scene) -> None:
    for deed in (
        rotation.seal_anew(scene.broker, MONA),
        rotation.rotate_webhook_secret(scene.broker, MONA, "oauth"),
        rotation.replace_private_key(scene.broker, MONA, "oauth", "k"),
    ):
        with pytest.raises(AccessDenied):
            await deed
