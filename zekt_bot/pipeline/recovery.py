"""What both ways of catching up share: their chore, whose requests they leave, how far they are."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from zekt_bot.db import chores, coverage
from zekt_bot.domain.recovery import FEW_LEFT, HOOK_DELIVERIES, READ_EVERY
from zekt_bot.errors import GitHubAnswered

if TYPE_CHECKING:
    from zekt_bot.domain.recovery import Coverage
    from zekt_bot.operations.broker import Broker

CHORE, EVERY = "recovery", READ_EVERY[HOOK_DELIVERIES]
SETTLED = timedelta(minutes=1)  # what came a moment ago may be on its way into the inbox
_LEFT = 0.5  # of an hour's requests: they are for tokens and dispatches


def is_few(share_left: float) -> bool:
    """Whether the rest of the hour's requests is to be left to others."""
    return share_left < _LEFT


def few_left(whose: str) -> GitHubAnswered:
    """What is raised then; `whose` requests they are."""
    return GitHubAnswered(200, f"the {whose} {FEW_LEFT}")


async def note(broker: Broker, state: Coverage) -> None:
    """Keep how far it is, and let no other process begin meanwhile."""
    now, write = broker.now(), broker.database.write
    await write(coverage.save, replace(state, checked_at=now))
    await write(chores.put_off, (CHORE, now + EVERY))
