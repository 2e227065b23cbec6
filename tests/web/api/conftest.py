from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stage import clock
from tests.web.api.calling import Api, open_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.testing import ManualClock

__all__ = ["clock"]


@pytest.fixture
async def api(migrated_url: str, clock: ManualClock) -> AsyncIterator[Api]:
    """The API, on each database."""
    async with open_api(migrated_url, clock) as opened:
        yield opened


@pytest.fixture
async def local(migrated_sqlite: str, clock: ManualClock) -> AsyncIterator[Api]:
    """The API on SQLite, for what no database has a part in."""
    async with open_api(migrated_sqlite, clock) as opened:
        yield opened
