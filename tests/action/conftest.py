from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.action.running import Scene, open_scene
from tests.stage import clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from zekt_bot.testing import ManualClock

__all__ = ["clock"]


@pytest.fixture
async def scene(migrated_sqlite: str, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Scene]:
    """A provider, a consumer, and a Zekt between them."""
    async with open_scene(migrated_sqlite, tmp_path, clock) as opened:
        yield opened
