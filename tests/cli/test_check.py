"""`zekt check`: each part that is not well is named with what to do, and the exit code says so."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.server import environ_of
from tests.cli.command import KEY, zekt
from tests.db.rows import put
from tests.stage import settings_of
from zekt_bot.app import open_broker
from zekt_bot.clock import SystemClock
from zekt_bot.db import coverage
from zekt_bot.db.tables import plugin_faults, processes
from zekt_bot.domain.recovery import READ_EVERY, Coverage
from zekt_bot.testing import GitHubSimulator, ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from zekt_bot.testing import App

APP = ["App key", "App permissions", "App events", "App webhook"]
PARTS = [
    *("settings", "plugins", "database", "secret key"),
    *(*APP, "webhook secret", "not readable"),
]
BY_HAND = (  # what GitHub tells of no App
    *("must be public", "callback address", "setup address", "webhook is active"),
    "installation_target",
)
HOOK = "https://zekt.example/webhooks/github"


@pytest.fixture
async def github() -> AsyncIterator[GitHubSimulator]:
    """GitHub, at the present time."""
    async with GitHubSimulator(SystemClock()) as simulator:
        yield simulator


@pytest.fixture
def app(github: GitHubSimulator) -> App:
    """The App that the server is."""
    return github.app("zekt-orchestrator-app", hook_url=HOOK)


async def red(settings: dict[str, str]) -> dict[str, str]:
    """What `zekt check` finds wrong: part and sentence."""
    ended = await zekt("check", "--json", **settings)
    found: list[dict[str, Any]] = json.loads(ended.out)
    wrong = {each["part"]: each["said"] for each in found if not each["ok"]}
    assert ended.code == (1 if wrong else 0)
    return wrong


async def test_where_all_is_well_each_part_says_so(
    migrated_url: str, github: GitHubSimulator, app: App
) -> None:
    settings = environ_of(migrated_url, github, app)
    assert await red(settings) == {}
    told = await zekt("check", **settings)
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    of_postgresql = [] if migrated_url.startswith("sqlite") else ["database clock", "notifications"]
    parts = [*PARTS, *of_postgresql, "run tokens", "GitHub clock"]
    assert len(lines) == len(parts)
    assert "has 1 key that verifies tokens." in told.out
    for part in parts:
        assert any(line.startswith(f"✓  {part}") for line in lines), part
    (by_hand,) = (line for line in lines if line.startswith("✓  not readable"))
    assert all(each in by_hand for each in BY_HAND), by_hand


async def test_what_is_wrong_is_named_with_its_cure(
    migrated_sqlite: str, github: GitHubSimulator, app: App, tmp_path: Path
) -> None:
    good = environ_of(migrated_sqlite, github, app)
    assert await red(good) == {}
    nowhere = "http://127.0.0.1:9"
    other = github.app("another-app")
    plugin = tmp_path / "plugins"
    plugin.mkdir()
    (plugin / "broken.py").write_text("raise RuntimeError('no')\n")
    for changed, part, cure in (
        ({"PORT": "http"}, "settings", "PORT"),
        ({"ZEKT_PLUGINS_DIR": str(plugin)}, "plugins", "broken"),
        ({"DATABASE_URL": "sqlite:////no/such/zekt.db"}, "database", "/no/such"),
        ({"DATABASE_URL": "postgresql://me:pw@127.0.0.1:9/zekt"}, "database", "DATABASE_URL"),
        ({"ZEKT_SECRET_KEY": "k" * 40}, "secret key", "the key that it had"),
        ({"ZEKT_ORCHESTRATOR_PRIVATE_KEY": other.private_key}, "App key", "private key"),
        ({"ZEKT_ORCHESTRATOR_APP_ID": ""}, "App key", "ZEKT_ORCHESTRATOR_APP_ID"),
        ({"ZEKT_ORCHESTRATOR_WEBHOOK_SECRET": ""}, "webhook secret", "set ZEKT_ORCHESTRATOR"),
        ({"ZEKT_GITHUB_API_URL": nowhere}, "GitHub clock", "ZEKT_GITHUB_API_URL"),
        ({"ZEKT_OIDC_ISSUER": github.web_url}, "run tokens", "ZEKT_OIDC_ISSUER"),
    ):
        found = await red({**good, **changed})
        assert cure in found[part], (changed, found)
        assert set(found) <= {part, "App key"}  # of an unreachable GitHub the key says so too


async def test_a_plugin_that_is_loaded_with_a_problem_is_named(tmp_path: Path) -> None:
    (tmp_path / "idle.py").write_text("")
    ended = await zekt("check", "--json", ZEKT_PLUGINS_DIR=str(tmp_path))
    (told,) = [each for each in json.loads(ended.out) if each["part"] == "plugins"]
    assert (told["ok"], told["said"].endswith("It says what is wrong with idle.")) == (True, True)


async def test_an_app_that_differs_from_app_yml_is_told_with_the_page_that_mends_it(
    migrated_sqlite: str, github: GitHubSimulator, app: App
) -> None:
    settings = environ_of(migrated_sqlite, github, app)
    settings["ZEKT_PUBLIC_URL"] = "https://zekt.example"
    signing_in = github.app("zekt-sign-in", permissions={}, events=(), hook_url=f"{HOOK}/oauth")
    settings["ZEKT_OAUTH_APP_ID"] = str(signing_in.app_id)
    settings["ZEKT_OAUTH_PRIVATE_KEY"] = signing_in.private_key
    assert await red(settings) == {}
    without = {**settings, "ZEKT_OAUTH_CLIENT_ID": "Iv1", "ZEKT_OAUTH_PRIVATE_KEY": ""}
    told = await zekt("check", **without)
    assert "Not compared, because it has no key here" in " ".join(told.out.split())
    app.owner = github.account("aurora-labs")
    app.permissions = {"actions": "read", "metadata": "read", "issues": "write"}
    app.events = ("workflow_run", "repository", "push")
    app.hook_url = "https://elsewhere.example/hook"
    signing_in.hook_url = None
    page = f"{github.web_url}/organizations/aurora-labs/settings/apps/zekt-orchestrator-app"
    own = f"{github.web_url}/settings/apps/zekt-sign-in"
    assert await red(settings) == {
        "App permissions": "Lacking: contents: write. Too many: issues: write. "
        f"Mend it at {page}/permissions",
        "App events": f"Lacking: workflow_job. Too many: push. Mend it at {page}/permissions",
        "App webhook": "GitHub sends webhooks to https://elsewhere.example/hook, and not to "
        f"{HOOK}. Mend it at {page}",
        "sign-in App webhook": f"GitHub has no address to send webhooks to. Mend it at {own}",
    }


async def test_tables_of_another_version_name_the_command(
    postgres_url: str, github: GitHubSimulator, app: App
) -> None:
    found = await red(environ_of(postgres_url, github, app))
    assert "zekt migrate" in found["database"]


async def test_a_new_sqlite_file_is_no_fault_and_is_not_made(
    sqlite_url: str, github: GitHubSimulator, app: App, tmp_path: Path
) -> None:
    settings = environ_of(sqlite_url, github, app)
    assert await red(settings) == {}
    told = await zekt("check", **settings)
    for part in ("App key", "webhook secret"):
        assert f"✓  {part}" in told.out
    empty = {"ZEKT_ORCHESTRATOR_APP_ID": "", "ZEKT_ORCHESTRATOR_WEBHOOK_SECRET": ""}
    assert set(await red({**settings, **empty})) == {"App key", "webhook secret"}
    assert list(tmp_path.iterdir()) == []


async def test_notifications_that_are_not_heard_show(
    migrated_postgres: str, postgres_url: str, github: GitHubSimulator, app: App
) -> None:
    settings = environ_of(migrated_postgres, github, app)
    for direct, cure in (
        (postgres_url, "Set ZEKT_DIRECT_DATABASE_URL"),
        ("postgresql://zekt@127.0.0.1:9/zekt", "cannot be listened at"),
    ):
        found = await red({**settings, "ZEKT_DIRECT_DATABASE_URL": direct})
        assert cure in found["notifications"]


@pytest.mark.parametrize("url", ["sqlite:////no/such/zekt.db", "postgresql://a:b@127.0.0.1:9/z"])
async def test_the_keys_are_tried_where_there_is_no_database(
    url: str, github: GitHubSimulator, app: App
) -> None:
    settings = environ_of(url, github, app)
    assert set(await red(settings)) == {"database"}
    wrong = {"ZEKT_ORCHESTRATOR_PRIVATE_KEY": github.app("another-app").private_key}
    assert set(await red({**settings, **wrong})) == {"database", "App key"}


async def test_a_running_process_that_is_not_well_shows(
    migrated_sqlite: str, github: GitHubSimulator, app: App
) -> None:
    same_key = settings_of(migrated_sqlite, github, app, secret_keys=(KEY,))
    row = {
        "kind": "worker",
        "host": "there",
        "version": "1",
        "started_at": SystemClock().now(),
        "beat_at": SystemClock().now(),
        "figures": "{}",
    }
    wrong = [
        {"id": "a", "pid": 1, "clock_offset_us": 2_500_000, "listening": True},
        {"id": "b", "pid": 2, "clock_offset_us": None, "listening": False},
        {"id": "c", "pid": 3, "clock_offset_us": -1_000_000, "listening": None},
    ]
    async with open_broker(same_key, ManualClock()) as broker:
        await broker.database.write(put, (processes, [row | one for one in wrong]))
    ended = await zekt("check", "--json", **environ_of(migrated_sqlite, github, app))
    said = [each["said"] for each in json.loads(ended.out) if not each["ok"]]
    assert len(said) == 2
    assert "worker there:1 is -2.5 s off" in said[0]
    assert "worker there:2 hears of no other" in said[1]


async def test_lists_that_a_running_server_does_not_read_show(
    migrated_url: str, github: GitHubSimulator, app: App
) -> None:
    settings = environ_of(migrated_url, github, app)
    same_key = settings_of(migrated_url, github, app, secret_keys=(KEY,))
    now = SystemClock().now()

    async def said(*rows: Coverage) -> list[str]:
        async with open_broker(same_key, ManualClock()) as broker:
            for row in rows:
                await broker.database.write(coverage.save, row)
        ended = await zekt("check", "--json", **settings)
        found = json.loads(ended.out)
        return [each["said"] for each in found if each["part"] == "missed events"]

    assert await said() == []
    both = [Coverage(name, now, now, checked_at=now) for name in READ_EVERY]
    assert await said(*both) == [f"GitHub's lists were read up to {now:%Y-%m-%d %H:%M:%SZ}."]
    old = now - timedelta(hours=4)
    late = [
        Coverage(name, old, old, checked_at=now, problem="GitHub is away") for name in READ_EVERY
    ]
    told = await said(*late)
    assert len(told) == 2
    assert all(f"since {old:%Y-%m-%d %H:%M:%SZ}: GitHub is away." in each for each in told)
    assert all("when it starts" in each for each in told)
    assert await red(settings) == {}
    row = {"id": "a", "kind": "serve", "host": "there", "pid": 1, "version": "1", "figures": "{}"}
    row |= {"started_at": old, "beat_at": now}
    async with open_broker(same_key, ManualClock()) as broker:
        await broker.database.write(put, (processes, [row]))
    assert "may be missing" in (await red(settings))["missed events"]
    under_way = [replace(each, problem=None) for each in late]
    assert all("is being taken in" in each for each in await said(*under_way))
    assert await red(settings) == {}


async def test_an_api_that_is_not_githubs_and_a_clock_that_is_off_show(
    migrated_sqlite: str, github: GitHubSimulator, app: App
) -> None:
    settings = environ_of(migrated_sqlite, github, app)
    github.fail("GET", "/meta", status=200, headers={"Date": "yesterday"})
    assert "not GitHub's API" in (await red(settings))["GitHub clock"]
    github.fail("GET", "/meta", status=200, headers={"Date": "Wed, 01 Jul 2020 12:00:00 GMT"})
    assert "by NTP" in (await red(settings))["GitHub clock"]
    github.fail("GET", "/app", status=502)
    assert "502" in (await red(settings))["App key"]


async def test_a_plugin_that_is_off_somewhere_shows(
    migrated_sqlite: str, github: GitHubSimulator, app: App
) -> None:
    same_key = settings_of(migrated_sqlite, github, app, secret_keys=(KEY,))
    async with open_broker(same_key, ManualClock()) as broker:
        row: dict[str, Any] = {"process": "here:1", "plugin": "slow"}
        row |= {"hook": "zekt_block_reason", "at": SystemClock().now()}
        await broker.database.write(put, (plugin_faults, [row]))
    found = await red(environ_of(migrated_sqlite, github, app))
    assert "slow is off in here:1" in found["plugin"]
