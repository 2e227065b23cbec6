"""What every step and operation needs, in one value made by the composition root."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from zekt_bot.domain.audit import Entry
from zekt_bot.domain.figures import Figures
from zekt_bot.operations.under_way import UnderWay
from zekt_bot.tracing import NoTraces

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from zekt_bot.clock import Clock, Shutdown
    from zekt_bot.config import Credentials, Settings
    from zekt_bot.db.database import Database
    from zekt_bot.github.app_pages import AppPages
    from zekt_bot.github.client import GitHub
    from zekt_bot.github.oauth import OAuth
    from zekt_bot.github.oidc import RunTokens
    from zekt_bot.operations.roles import Roles
    from zekt_bot.plugins import Plugins
    from zekt_bot.tracing import Traces


@dataclass(slots=True)
class Vitals:
    """What this process finds out about itself while it runs.

    `clock_is_off`: from PostgreSQL's, by more than a worker may be.
    """

    figures: Figures = field(default_factory=Figures)
    clock_is_off: bool = False


@dataclass(frozen=True, slots=True)
class Broker:
    """The parts, each made once a process."""

    settings: Settings
    clock: Clock
    database: Database
    credentials: Credentials
    github: GitHub
    plugins: Plugins
    roles: Roles
    app_pages: AppPages
    oauth: OAuth
    run_tokens: RunTokens
    shutdown: Shutdown
    vitals: Vitals = field(default_factory=Vitals)
    traces: Traces = field(default_factory=NoTraces)
    under_way: UnderWay = field(default_factory=UnderWay)

    def now(self) -> datetime:
        """The present moment."""
        return self.clock.now()

    def answer_by(self) -> datetime | None:
        """Until when a question that is asked now waits for its answer; None: for ever."""
        days = self.settings.request_days
        return self.now() + timedelta(days=days) if days else None

    async def entry(self, verb: str, actor: str, **facts: Any) -> Entry:
        """An audit entry with what plugins add, made before the write begins."""
        (entry,) = await self.plugins.audited([Entry(verb=verb, actor=actor, **facts)])
        return entry

    async def entries(self, entries: Sequence[Entry]) -> list[Entry]:
        """Audit entries with what plugins add to each."""
        return await self.plugins.audited(entries)


def new_lease() -> str:
    """A token that tells one claim from every other."""
    return secrets.token_hex(12)
