"""Putting a hook's question to its implementations: in place, beside the event loop, or watched."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.errors import PluginFailed
from zekt_bot.plugins import calls
from zekt_bot.plugins.calls import Call, Caller, attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from zekt_bot.plugins.registry import Impl, Plugin, Registry

_MOST_BESIDE = 2  # threads, for what keeps a processor busy
_log = structlog.get_logger()


class Asking:
    """Built-ins answer in place or, where that takes long, in threads; others in a watched one."""

    def __init__(self, registry: Registry, went_off: Callable[[str, str], None]) -> None:
        """`went_off(plugin, hook)` hears when a plugin is not asked any more."""
        self._registry = registry
        self._caller = Caller(went_off)
        # Not the event loop's own threads: in these it resolves the names of hosts.
        self._beside = ThreadPoolExecutor(_MOST_BESIDE, thread_name_prefix="zekt-built-ins")

    def is_off(self, impl: Impl) -> bool:
        """Whether this plugin's calls did not return too often."""
        return not impl.built_in and self._caller.is_off(impl.plugin.name)

    def close(self) -> None:
        """Let the threads end."""
        self._caller.close()
        self._beside.shutdown(wait=False, cancel_futures=True)

    async def first(
        self,
        hook: str,
        rows: Sequence[Mapping[str, Any]],
        read: Callable[[Any], Any],
        *,
        advise: bool = False,
    ) -> list[tuple[Any, str]]:
        """For each row the first answer that is not None, and whose it is.

        A failure is one, unless it advises.
        """
        given: list[tuple[Any, str]] = [(None, "")] * len(rows)
        open_ = dict(enumerate(rows))
        for impl in self._registry.impls(hook):
            if not open_:
                break
            if advise and self.is_off(impl):
                continue
            found = await self.each(impl, hook, [*open_.values()], read)
            for number, answer in zip([*open_], found, strict=True):
                if answer is not None and not (advise and isinstance(answer, PluginFailed)):
                    given[number] = answer, impl.plugin.name
                    del open_[number]
        return given

    async def each(
        self,
        impl: Impl,
        hook: str,
        rows: Sequence[Mapping[str, Any]],
        read: Callable[[Any], Any],
        *,
        beside: bool = False,
    ) -> list[Any]:
        """What one implementation answers to each row. `beside`: not in the event loop."""
        if impl.built_in and not beside:
            given = [calls.in_place(impl, hook, row, read) for row in rows]
        else:
            asked = [partial(calls.answer, impl, row, read) for row in rows]
            told = [Call(impl.plugin.name, hook, each) for each in asked]
            given = await self.run(impl.plugin, told)
        for answer in given:
            if isinstance(answer, PluginFailed):
                tell_failure(impl.plugin.name, hook, answer)
        return given

    async def run(self, owner: Plugin, told: Sequence[Call]) -> list[Any]:
        """Calls beside the event loop."""
        if owner.built_in:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._beside, lambda: [attempt(c) for c in told])
        return await self._caller.run(told)


def tell_failure(plugin: str, hook: str, failed: PluginFailed) -> None:
    """Log a plugin's failure with what it raised."""
    _log.error(
        "plugin.failed", plugin=plugin, hook=hook, reason=str(failed), exc_info=failed.__cause__
    )
