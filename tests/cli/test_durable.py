"""`zekt subscriptions durable`, as the terminal has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.server import environ_of
from tests.cli.command import KEY, zekt
from tests.stage import SERVICE, open_stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMES = (SERVICE, "kestrel-bank/core-sync")


@pytest.fixture
async def environ(migrated_sqlite: str) -> AsyncIterator[dict[str, str]]:
    """A server's settings; one subscription, whose consumer has no workflow."""
    async with open_stage(migrated_sqlite, secret_keys=(KEY,)) as stage:
        await stage.serve("released")
        yield environ_of(migrated_sqlite, stage.github, stage.app) | {"ZEKT_SECRET_KEY": KEY}


async def test_it_is_refused_forced_shown_and_switched_off(environ: dict[str, str]) -> None:
    refused = await zekt("subscriptions", "durable", *NAMES, **environ)
    assert refused.code != 0
    assert "run-name: Zekt" in refused.err
    assert "--force" in refused.err
    options = ("--after", "5", "--sends", "2", "--force")
    made = await zekt("subscriptions", "durable", *NAMES, *options, **environ)
    assert "sent again after 5 minutes" in made.out
    assert "2 times in all" in made.out
    shown = await zekt("subscriptions", "show", *NAMES, **environ)
    assert "300" in shown.out
    off = await zekt("subscriptions", "durable", *NAMES, "--off", **environ)
    assert "is sent once" in off.out
