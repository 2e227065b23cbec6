"""Where each App's page at GitHub is, which leads to installing it.

Source: https://docs.github.com/rest/apps/apps#get-the-authenticated-app
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from zekt_bot.errors import GitHubError

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.clock import Clock
    from zekt_bot.config import App, AppCredentials, Credentials
    from zekt_bot.github.client import GitHub

KEPT = timedelta(hours=1)  # its owner may rename an App, which moves its page
MOMENT = 2.0  # seconds that a page waits for GitHub's answer
_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(minutes=5)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found out with credentials of this version, and when to ask again."""

    version: str
    app_id: str | None
    url: str | None
    next_at: datetime
    failures: int = 0


class AppPages:
    """Of one process. GitHub's answer is kept for an hour, with the App that it is of."""

    def __init__(self, github: GitHub, credentials: Credentials, clock: Clock) -> None:
        """Nothing is known yet; GitHub is asked when somebody wants to know."""
        self._github: dict[App, GitHub] = {
            "orchestrator": github,
            "oauth": github.beside("oauth"),
        }
        self._credentials = credentials
        self._clock = clock
        self._known: dict[App, _Known] = {}
        self._locks: dict[App, asyncio.Lock] = {
            "orchestrator": asyncio.Lock(),
            "oauth": asyncio.Lock(),
        }

    async def install(self, app: App) -> str:
        """Where people install the App. Empty: GitHub has not said, or there is no such page.

        It is built on `html_url` alone: its form differs on a GitHub Enterprise Server.

        Raises:
            StorageUnavailable.
        """
        held = await self._credentials.get(app)
        url = held.html_url
        if held.app_id and held.private_key:
            url = await self._asked(app, held) or url
        return f"{url}/installations/new" if url else ""

    async def _asked(self, app: App, held: AppCredentials) -> str | None:
        async with self._locks[app]:
            known, now = self._known.get(app), self._clock.now()
            if known is None or known.app_id != held.app_id:
                known = _Known(held.version, held.app_id, None, now)
            elif known.version != held.version:
                known = replace(known, version=held.version, next_at=now, failures=0)
            if known.next_at <= now:
                known = await self._ask(app, known)
            self._known[app] = known
            return known.url

    async def _ask(self, app: App, known: _Known) -> _Known:
        try:
            async with asyncio.timeout(MOMENT):
                answer = await self._github[app].ask_as_app("/app")
            if answer.status != 200:
                raise answer.error()
            told = answer.mapping()
        except (GitHubError, TimeoutError) as error:
            _log.info("app.page_unknown", app=app, error=str(error) or type(error).__name__)
            pause = min(_FIRST_PAUSE * 2 ** min(known.failures, 10), _LONGEST_PAUSE)
            next_at = self._clock.now() + pause
            return replace(known, next_at=next_at, failures=known.failures + 1)
        url = told.get("html_url") if str(told.get("id")) == known.app_id else None
        found = url if isinstance(url, str) else known.url
        return replace(known, url=found, next_at=self._clock.now() + KEPT, failures=0)
