"""A console where nobody has signed in yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stage import clock
from tests.web.console.console import Console, open_console
from tests.web.console.org import Org

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.testing import ManualClock

__all__ = ["clock"]


@pytest.fixture
async def console(migrated_sqlite: str, clock: ManualClock) -> AsyncIterator[Console]:
    async with open_console(migrated_sqlite, clock) as opened:
        yield opened


@pytest.fixture
async def on_each(migrated_url: str, clock: ManualClock) -> AsyncIterator[Console]:
    """For what writes something: once on each database."""
    async with open_console(migrated_url, clock) as opened:
        yield opened


@pytest.fixture
async def org(console: Console) -> Org:
    return await Org(console).found()
