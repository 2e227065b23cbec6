"""An operator at a terminal, with two organizations to command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.server import RELEASE, environ_of
from tests.cli.command import Ended, zekt
from zekt_bot.testing import GitHubSimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROVIDER, CONSUMER = "aurora-labs/payments-api", "kestrel-bank/core-sync"
SERVICE = "aurora-labs/release"
ALLOW = ("workflows", "allow", PROVIDER, RELEASE)
PUBLISH = ("services", "publish", PROVIDER, RELEASE, "--slug", "release")


class Line:
    """A command line with its settings; a refused command fails the test."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.settings = settings

    async def ended(self, *words: str) -> Ended:
        """How a command ended."""
        return await zekt(*words, **self.settings)

    async def does(self, *words: str) -> str:
        """What a command said that did what it should."""
        ended = await self.ended(*words)
        assert ended.code == 0, ended.err
        return ended.out

    async def json(self, *words: str) -> Any:
        """What a command answers programs."""
        return json.loads(await self.does(*words, "--json"))


@pytest.fixture
async def line(migrated_sqlite: str) -> AsyncIterator[Line]:
    """An operator at a terminal; `ada` administers the provider, `mia` the consumer."""
    async with GitHubSimulator() as github:
        app = github.app("zekt-orchestrator-app")
        for name, admin in ((PROVIDER, "ada"), (CONSUMER, "mia")):
            login, _, repository = name.partition("/")
            made = github.repository(account := github.account(login), repository, private=True)
            github.add_workflow(made, RELEASE, "Release")
            github.grant(made, github.account(admin, "User"), "admin")
            await github.install(app, account)
        github.account("eve", "User")
        yield Line(environ_of(migrated_sqlite, github, app))


async def published(line: Line, *words: str) -> None:
    """The provider's service, as its operator publishes it."""
    for each in (("repositories", "enable", PROVIDER), ALLOW, (*PUBLISH, *words)):
        await line.does(*each)
