"""What plugins hear of after a commit: each from its own queue, at most once."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.errors import PluginFailed
from zekt_bot.plugins.calls import guarded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMIT = timedelta(seconds=10)
MOST_WAITING = 1000
MOST_BYTES = 64 * 1024 * 1024
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class News:
    """Something to hear of: `tell` begins the plugin's coroutine, `size` is what it holds."""

    hook: str
    tell: Callable[[], Awaitable[Any]]
    size: int = 0


class _Queue:
    """One plugin's news and the task that tells them, one after the other."""

    def __init__(self, plugin: str) -> None:
        self.dropped = 0
        self._plugin = plugin
        self._waiting: deque[News] = deque()
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    def put(self, news: News) -> None:
        """Never waits: when it is full, the oldest goes."""
        self._waiting.append(news)
        self._size += news.size
        while len(self._waiting) > MOST_WAITING or self._size > MOST_BYTES:
            self._size -= self._waiting.popleft().size
            self.dropped += 1
            if self.dropped == 1:
                _log.warning("plugin.news_dropped", plugin=self._plugin, count=1)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"zekt-plugin-{self._plugin}")

    async def _run(self) -> None:
        while self._waiting:
            news = self._waiting.popleft()
            self._size -= news.size
            try:
                await guarded(news.tell, LIMIT)
            except TimeoutError:
                _log.error("plugin.took_too_long", plugin=self._plugin, hook=news.hook)
            except PluginFailed as error:
                _log.error(
                    "plugin.failed", plugin=self._plugin, hook=news.hook, exc_info=error.__cause__
                )
        if self.dropped > 1:
            _log.warning("plugin.news_dropped", plugin=self._plugin, count=self.dropped)
        self.dropped = 0

    async def close(self, within: timedelta) -> None:
        """Tell what waits, as long as there is time."""
        if self._task is None:
            return
        _, late = await asyncio.wait({self._task}, timeout=within.total_seconds())
        if late:
            self._task.cancel()
            await asyncio.wait(late)
            count = self.dropped + len(self._waiting) + 1
            _log.warning("plugin.news_dropped", plugin=self._plugin, count=count)


class Observers:
    """Every plugin's queue."""

    def __init__(self) -> None:
        """Begin with none; a queue's task lives as long as something waits."""
        self._queues: dict[str, _Queue] = {}

    def put(self, plugin: str, news: News) -> None:
        """Let a plugin hear of something."""
        self._queues.setdefault(plugin, _Queue(plugin)).put(news)

    async def close(self, within: timedelta) -> None:
        """Tell what waits, as long as there is time."""
        await asyncio.gather(*(queue.close(within) for queue in self._queues.values()))
