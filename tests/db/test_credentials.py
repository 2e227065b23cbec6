"""The Apps' credentials: what the environment names, then what the table holds, sealed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import delete

from tests.db.rows import settings_for
from zekt_bot.config import App, AppCredentials, Settings
from zekt_bot.db.credentials import CredentialStore, put, seal
from zekt_bot.db.database import open_database
from zekt_bot.db.sql import upsert
from zekt_bot.db.tables import credentials
from zekt_bot.errors import DecryptionFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database
    from zekt_bot.testing import ManualClock

SECOND = timedelta(seconds=1)
APPS: tuple[App, App] = ("orchestrator", "oauth")
STORED = {
    "app_id": "7",
    "client_id": "Iv7",
    "client_secret": "client secret of the table",
    "html_url": "https://github.com/apps/zekt",
    "private_key": "pem of the table",
    "slug": "zekt",
    "webhook_secret": "new\nold\n",
}
NO_SETTINGS = Settings()


def put_rows(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[None]:
    upsert(connection, credentials, rows, ["body", "version"])
    return [None] * len(rows)


def put_all(connection: Connection, rows: Sequence[list[dict[str, str | bytes]]]) -> list[None]:
    for each in rows:
        put(connection, "oauth", each)
    return [None] * len(rows)


def forget(connection: Connection, rows: Sequence[str]) -> Sequence[str]:
    connection.execute(delete(credentials).where(credentials.c.name.in_(rows)))
    return rows


async def keep(database: Database, app: str, version: str = "1", **values: str) -> None:
    """Store credentials as setup does."""
    for name, value in values.items():
        body = database.keyring.seal(("credentials", name, app), value.encode())
        row: dict[str, Any] = {"app": app, "name": name, "body": body, "version": version}
        await database.write(put_rows, row)


@pytest.fixture
def store(database: Database, clock: ManualClock) -> CredentialStore:
    """A store whose environment names nothing."""
    return CredentialStore(NO_SETTINGS, database, clock)


@pytest.mark.parametrize("app", APPS)
async def test_without_any_there_are_none(store: CredentialStore, app: App) -> None:
    assert await store.get(app) == AppCredentials()


async def test_the_table_is_opened_for_the_app_asked_for(
    store: CredentialStore, database: Database
) -> None:
    await keep(database, "oauth", **STORED)
    found = await store.get("oauth")
    assert (found.app_id, found.private_key) == ("7", "pem of the table")
    assert found.webhook_secrets == (b"new", b"old")
    assert await store.get("orchestrator") == AppCredentials()


@pytest.mark.parametrize(
    "own",
    [
        AppCredentials(app_id="7"),
        AppCredentials(private_key="pem of the environment"),
        AppCredentials(client_id="Iv7", client_secret="of the environment"),
        AppCredentials(webhook_secrets=(b"from the environment",)),
        AppCredentials("7", "pem of the environment", (b"from the environment",)),
    ],
)
async def test_what_the_environment_names_it_decides(
    own: AppCredentials, database: Database, clock: ManualClock
) -> None:
    await keep(database, "orchestrator", **STORED)
    table = await CredentialStore(NO_SETTINGS, database, clock).get("orchestrator")
    found = await CredentialStore(Settings(orchestrator=own), database, clock).get("orchestrator")
    assert found.app_id == (own.app_id or table.app_id)
    assert found.private_key == (own.private_key or table.private_key)
    assert found.webhook_secrets == (own.webhook_secrets or table.webhook_secrets)
    assert found.client_secret == (own.client_secret or table.client_secret)
    assert (found.slug, found.html_url) == (table.slug, table.html_url)
    assert found.version != table.version


@pytest.mark.parametrize(
    "own", [AppCredentials(app_id="8"), AppCredentials(client_id="Ov8", client_secret="hush")]
)
async def test_of_another_app_that_the_environment_names_the_table_knows_nothing(
    own: AppCredentials, database: Database, clock: ManualClock
) -> None:
    await keep(database, "oauth", **STORED)
    found = await CredentialStore(Settings(oauth=own), database, clock).get("oauth")
    assert replace(found, version="") == own
    assert found.is_classic == (own.app_id is None)


async def test_what_setup_stored_is_the_apps_at_once_and_whole(
    store: CredentialStore, database: Database, clock: ManualClock
) -> None:
    await keep(database, "oauth", webhook_secret="of the former App")
    await keep(database, "orchestrator", webhook_secret="of the other App")
    assert (await store.get("oauth")).webhook_secrets == (b"of the former App",)
    told = {name: value for name, value in STORED.items() if name != "webhook_secret"}
    await database.write(put_all, seal(database.keyring, "oauth", told, clock.now()))
    found = await store.get("oauth", anew=True)
    assert (found.app_id, found.client_id, found.slug) == ("7", "Iv7", "zekt")
    assert found.key_stored_at == clock.now()
    assert found.html_url == STORED["html_url"]
    assert found.webhook_secrets == ()
    assert (await store.get("oauth")).version == found.version
    assert (await store.get("orchestrator")).webhook_secrets == (b"of the other App",)


async def test_what_did_not_do_is_looked_at_again_at_once_and_once_a_second(
    store: CredentialStore, database: Database, clock: ManualClock
) -> None:
    assert (await store.get("oauth")).webhook_secrets == ()
    await keep(database, "oauth", webhook_secret="the first")
    assert (await store.get("oauth")).webhook_secrets == ()
    many = await asyncio.gather(*(store.get("oauth", anew=True) for _ in range(5)))
    assert {found.webhook_secrets for found in many} == {(b"the first",)}
    await keep(database, "oauth", "2", webhook_secret="the next")
    assert (await store.get("oauth", anew=True)).webhook_secrets == (b"the first",)
    clock.advance(SECOND)
    assert (await store.get("oauth", anew=True)).webhook_secrets == (b"the next",)


async def test_what_was_changed_or_withdrawn_is_seen_within_a_second(
    store: CredentialStore, database: Database, clock: ManualClock
) -> None:
    await keep(database, "oauth", webhook_secret="the former")
    assert (await store.get("oauth")).webhook_secrets == (b"the former",)
    await keep(database, "oauth", "2", webhook_secret="the next")
    clock.advance(SECOND - timedelta(microseconds=1))
    assert (await store.get("oauth")).webhook_secrets == (b"the former",)
    clock.advance(timedelta(microseconds=1))
    assert (await store.get("oauth")).webhook_secrets == (b"the next",)
    await database.write(forget, "webhook_secret")
    assert (await store.get("oauth")).webhook_secrets == (b"the next",)
    clock.advance(-SECOND)  # a clock that is set back holds nothing up
    assert (await store.get("oauth")).webhook_secrets == ()


async def test_many_who_ask_at_once_look_once(
    store: CredentialStore, database: Database, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.get("oauth")
    clock.advance(SECOND)
    looks, query = [], database.query

    async def counted(*args: Any) -> Any:
        looks.append(args)
        return await query(*args)

    monkeypatch.setattr(database, "query", counted)
    await asyncio.gather(*(store.get("oauth") for _ in range(20)))
    assert len(looks) == 1


async def test_one_app_rereads_without_the_other(
    store: CredentialStore, database: Database, clock: ManualClock
) -> None:
    await store.get("orchestrator")
    clock.advance(SECOND)
    await store.get("oauth")
    await keep(database, "orchestrator", app_id="1")
    assert (await store.get("orchestrator")).app_id == "1"


@pytest.mark.parametrize("environment", [AppCredentials(), AppCredentials(app_id="8")])
@pytest.mark.parametrize("name", STORED)
async def test_the_version_changes_with_any_row(
    name: str, environment: AppCredentials, database: Database, clock: ManualClock
) -> None:
    provider = CredentialStore(replace(NO_SETTINGS, oauth=environment), database, clock)

    async def version() -> str:
        clock.advance(SECOND)
        return (await provider.get("oauth")).version

    seen = [await version()]
    for number, known in enumerate(STORED):
        await keep(database, "oauth", f"{number + 5}", **{known: STORED[known]})
        seen.append(await version())
    await keep(database, "oauth", "6b", **{name: "another"})
    seen.append(await version())
    await database.write(forget, name)
    seen.append(await version())
    assert all(before != after for before, after in pairwise(seen))
    assert await version() == seen[-1]


async def test_a_row_moved_to_the_other_app_does_not_open(
    store: CredentialStore, database: Database
) -> None:
    body = database.keyring.seal(("credentials", "private_key", "oauth"), b"pem")
    row = {"app": "orchestrator", "name": "private_key", "body": body, "version": "1"}
    await database.write(put_rows, row | {"body": body})
    with pytest.raises(DecryptionFailed):
        await store.get("orchestrator")


async def test_nothing_stands_in_clear_in_the_files_or_in_repr(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    secrets = {"private_key": "BEGIN PRIVATE KEY", "webhook_secret": "hush-hush"}
    async with open_database(settings_for(migrated_sqlite), clock) as database:
        await keep(database, "oauth", **secrets)
        own = AppCredentials(private_key="BEGIN PRIVATE KEY", webhook_secrets=(b"hush-hush",))
        for settings in (NO_SETTINGS, Settings(oauth=own)):
            found = await CredentialStore(settings, database, clock).get("oauth")
            assert found.private_key == secrets["private_key"]
            for secret in secrets.values():
                assert secret not in repr(found) + repr(settings) + repr(vars(database))
        folder = Path(urlsplit(migrated_sqlite).path).parent
        kept = b"".join(file.read_bytes() for file in folder.iterdir())
    assert b"private_key" in kept  # the row is in what was searched
    assert not any(secret.encode() in kept for secret in secrets.values())
