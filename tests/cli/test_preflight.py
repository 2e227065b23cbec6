"""`zekt subscriptions check`: a line each, the file and line first, and an exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.server import RELEASE, environ_of
from tests.cli.command import zekt
from tests.cli.test_catalog import CONSUMER, PROVIDER, SERVICE, STEPS
from tests.docs.pages import ROOT
from zekt_bot import config
from zekt_bot.app import open_broker
from zekt_bot.db import tables
from zekt_bot.testing import GitHubSimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEPLOY = ".github/workflows/deploy.yml"
GOOD = (ROOT / "examples" / "workflows" / "consumer.yml").read_text(encoding="utf-8")
BAD = "on: repository_dispatch\njobs: {a: {steps: [{run: '${{ github.event.client_payload }}'}]}}\n"


@pytest.fixture
async def github() -> AsyncIterator[GitHubSimulator]:
    """A GitHub with both repositories, the App installed on them."""
    async with GitHubSimulator() as simulator:
        simulator.app("zekt-orchestrator-app")
        yield simulator


async def subscribed(github: GitHubSimulator, url: str, text: str) -> tuple[dict[str, str], str]:
    """The settings, and the id of an approved subscription of a consumer with this workflow."""
    (app,) = github.core.world.apps.values()
    for name in (PROVIDER, CONSUMER):
        login, _, short = name.partition("/")
        made = github.repository(github.account(login), short, private=True)
        github.add_workflow(made, RELEASE, text="on: push\n")
        await github.install(app, made.owner)
    github.write_file(made, DEPLOY, text)
    settings = environ_of(url, github, app)
    for words in STEPS:
        assert (await zekt(*words, **settings)).code == 0
    async with open_broker(config.load(settings)) as broker:
        rows = await broker.database.query(lambda c: list(c.execute(tables.subscriptions.select())))
    return settings, rows[0].id


async def test_a_repository_that_is_well(github: GitHubSimulator, migrated_url: str) -> None:
    settings, held = await subscribed(github, migrated_url, GOOD)
    ended = await zekt("subscriptions", "check", held, **settings)
    assert (ended.code, ended.err) == (0, "")
    assert [line[:2] for line in ended.out.splitlines()] == ["✓ ", "✓ "]
    assert "starts on zekt-workflow-completed" in ended.out
    by_ends = await zekt("subscriptions", "check", SERVICE, CONSUMER, **settings)
    assert (by_ends.code, by_ends.out) == (0, ended.out)


async def test_problems_come_first_and_end_with_1(
    github: GitHubSimulator, migrated_url: str
) -> None:
    settings, held = await subscribed(github, migrated_url, BAD)
    ended = await zekt("subscriptions", "check", held, **settings)
    assert ended.code == 1
    assert ended.out.startswith(f"✕ {DEPLOY}:2 puts ")
    assert [line[0] for line in ended.out.splitlines()] == ["✕", "!", "✓"]
    told: list[dict[str, Any]] = json.loads(
        (await zekt("subscriptions", "check", held, "--json", **settings)).out
    )
    assert [(each["level"], each["word"], each["line"]) for each in told] == [
        ("problem", "script_injection", 2),
        ("hint", "run_name_missing", 1),
        ("ok", "reacts", 1),
    ]


async def test_a_subscription_that_is_not_there(github: GitHubSimulator, migrated_url: str) -> None:
    (app,) = github.core.world.apps.values()
    ended = await zekt("subscriptions", "check", "sub_0", **environ_of(migrated_url, github, app))
    assert (ended.code, ended.out) == (4, "")
    assert "sub_0" in ended.err
