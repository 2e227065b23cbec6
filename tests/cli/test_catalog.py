"""From nothing to an approved subscription: each command says what comes next."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.server import RELEASE, environ_of
from tests.cli.command import zekt
from zekt_bot.testing import GitHubSimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROVIDER, CONSUMER = "aurora-labs/payments-api", "kestrel-bank/core-sync"
SERVICE = "aurora-labs/release"
STEPS: tuple[tuple[str, ...], ...] = (
    ("repositories", "enable", PROVIDER),
    ("workflows", "allow", PROVIDER, RELEASE),
    ("services", "publish", PROVIDER, RELEASE, "--slug", "release"),
    ("subscriptions", "request", SERVICE, CONSUMER),
    ("subscriptions", "approve", SERVICE, CONSUMER),
)


@pytest.fixture
async def settings(database_url: str) -> AsyncIterator[dict[str, str]]:
    """A migrated database, and a GitHub on which the App is installed by both owners."""
    async with GitHubSimulator() as github:
        app = github.app("zekt-orchestrator-app")
        for name in (PROVIDER, CONSUMER):
            login, _, repository = name.partition("/")
            made = github.repository(account := github.account(login), repository, private=True)
            github.add_workflow(made, RELEASE)
            await github.install(app, account)
        found = environ_of(database_url, github, app)
        assert (await zekt("migrate", **found)).code == 0
        yield found


async def test_each_step_leads_to_the_next(settings: dict[str, str]) -> None:
    following = [*STEPS[1:], ()]
    for words, after in zip(STEPS, following, strict=True):
        ended = await zekt(*words, **settings)
        assert (ended.code, ended.err) == (0, "")
        assert f"`zekt {' '.join(after[:2])}" in ended.out or not after


async def test_a_step_before_its_time_is_refused_with_the_one_that_is_missing(
    settings: dict[str, str],
) -> None:
    enable, allow, publish, request, approve = STEPS
    for early, missing, now in (
        (allow, "zekt repositories enable", enable),
        (publish, "zekt workflows allow", allow),
        (request, "no service", publish),
        (approve, "request it first", request),
    ):
        refused = await zekt(*early, **settings)
        assert refused.code in {3, 4}
        assert missing in refused.err
        assert (await zekt(*now, **settings)).code == 0


async def test_doing_it_twice_changes_nothing_and_says_so(settings: dict[str, str]) -> None:
    for words in STEPS:
        assert (await zekt(*words, **settings)).code == 0
    again = [await zekt(*words, **settings) for words in STEPS]
    assert [ended.code for ended in again] == [0, 0, 3, 3, 3]
    assert "already" in again[1].out


async def test_a_workflow_that_github_does_not_list_is_allowed_with_force(
    settings: dict[str, str],
) -> None:
    assert (await zekt(*STEPS[0], **settings)).code == 0
    words = ("workflows", "allow", PROVIDER, ".github/workflows/to-come.yml")
    refused = await zekt(*words, **settings)
    assert refused.code == 3
    assert "--force" in refused.err
    assert (await zekt(*words, "--force", **settings)).code == 0


async def test_a_repository_without_the_app_is_not_found(settings: dict[str, str]) -> None:
    refused = await zekt("repositories", "enable", "aurora-labs/unheard-of", **settings)
    assert refused.code == 4
    assert "aurora-labs/unheard-of" in refused.err


async def test_an_empty_list_is_empty_json_and_a_sentence(settings: dict[str, str]) -> None:
    for noun in ("events", "deliveries"):
        assert json.loads((await zekt(noun, "list", "--json", **settings)).out) == []
        listed = await zekt(noun, "list", **settings)
        assert (listed.code, listed.out) == (0, "")
        assert f"No {noun} yet" in listed.err
