"""GitHub's news as the worker hands them on, and what the mirror then holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zekt_bot.db import mirror
from zekt_bot.operations.installations import News

if TYPE_CHECKING:
    from tests.stage import Stage
    from zekt_bot.domain.catalog import Repository as Mirrored
    from zekt_bot.testing import Repository


def news(stage: Stage, event: str, action: str | None, **body: Any) -> News:
    """A stored webhook, opened."""
    return News("inb_0", "guid-0", event, action, {"action": action, **body}, stage.clock.now())


async def mirrored(stage: Stage, repository: Repository) -> Mirrored | None:
    """What Zekt knows of a repository."""
    found = await stage.broker.database.query(mirror.repositories_by_id, [repository.id])
    return found.get(repository.id)
