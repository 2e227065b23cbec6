"""Running what strangers wrote: in a thread that is watched, or as a coroutine that is timed.

A plain function cannot be stopped. One that does not return is left alone with its thread, and
another thread takes what waits; a plugin that does so three times in ten minutes, or whose calls
hold three threads, is off in this process.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from zekt_bot.errors import PluginFailed, is_own_cancellation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from zekt_bot.plugins.registry import Impl

Answer = TypeVar("Answer")

LIMIT = timedelta(milliseconds=100)
MOST_OVERRUNS = 3
_FORGIVEN_AFTER = timedelta(minutes=10)
_TO_STOP = 1.0


class Call(NamedTuple):
    """One call of one plugin's hook."""

    plugin: str
    hook: str
    run: Callable[[], Any]


def attempt(call: Call) -> Any:
    """The call's answer, or the PluginFailed that it came to."""
    try:
        return call.run()
    except BaseException as error:
        return _caught(error, call.plugin, call.hook)


def in_place(impl: Impl, hook: str, row: Mapping[str, Any], read: Callable[[Any], Any]) -> Any:
    """A built-in's answer to one row of arguments, as `read` takes it, or its PluginFailed."""
    try:
        return answer(impl, row, read)
    except BaseException as error:
        return _caught(error, impl.plugin.name, hook)


def answer(impl: Impl, row: Mapping[str, Any], read: Callable[[Any], Any]) -> Any:
    """An implementation's answer to one row of arguments, as `read` takes it."""
    given = impl.function(*map(row.__getitem__, impl.arguments))
    return None if given is None else read(given)


def _caught(error: BaseException, plugin: str, hook: str) -> PluginFailed:
    """What a hook raised as its plugin's failure; an operator's interrupt goes on."""
    if isinstance(error, PluginFailed):
        return error
    failed = PluginFailed(f"The plugin {plugin} raised {type(error).__name__} in {hook}.")
    if not isinstance(error, KeyboardInterrupt):
        failed.__cause__ = error
    elif threading.current_thread() is threading.main_thread():
        raise error  # elsewhere only the plugin can have raised it
    return failed


def _off(call: Call) -> PluginFailed:
    return PluginFailed(f"The plugin {call.plugin} is off: its calls did not return in time.")


async def guarded(call: Callable[[], Awaitable[Answer]], within: timedelta) -> Answer:
    """Await what `call` begins, a plugin's coroutine, in a task of its own.

    Raises:
        PluginFailed: it raised anything at all, CancelledError too.
        TimeoutError: it took too long; it was cancelled.
    """
    task = asyncio.ensure_future(_contained(call))
    try:
        done, _ = await asyncio.wait({task}, timeout=within.total_seconds())
    except asyncio.CancelledError:  # ours: whoever called is being stopped
        await _stop(task)
        raise
    if not done:
        await _stop(task)
        raise TimeoutError
    if task.cancelled():
        raise PluginFailed("A plugin cancelled itself.")
    return task.result()


async def trusted(call: Callable[[], Awaitable[Answer]], within: timedelta) -> Answer:
    """As `guarded`, but in the caller's own task: for a built-in, which ends when it is told to.

    Raises:
        PluginFailed: it raised anything at all, a CancelledError of its own too.
        TimeoutError: it took too long; it was cancelled.
    """
    async with asyncio.timeout(within.total_seconds()):
        try:
            return await call()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if is_own_cancellation(error):
                raise
            raise PluginFailed(f"A plugin raised {type(error).__name__}.") from error


async def _stop(task: asyncio.Future[Any]) -> None:
    """Cancel, and wait a little: what is in flight should have ended. It may refuse."""
    task.cancel()
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    await asyncio.wait({task}, timeout=_TO_STOP)


async def _contained(call: Callable[[], Awaitable[Answer]]) -> Answer:
    try:
        return await call()
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit would stop the event loop
        raise PluginFailed(f"A plugin raised {type(error).__name__}.") from error


@dataclass(slots=True, eq=False)
class _Page:
    """Calls that were handed over together, and the answers so far."""

    calls: Sequence[Call]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Event = field(default_factory=asyncio.Event)
    answers: list[Any] = field(default_factory=list)
    dropped: bool = False

    def finish(self) -> None:
        """Tell the loop, from another thread."""
        if not self.dropped:
            self.loop.call_soon_threadsafe(self.done.set)


class _Thread:
    """One thread with its queue. What it runs now, and since when, others can see."""

    def __init__(self, is_off: Callable[[str], bool]) -> None:
        self._is_off = is_off
        self.pages: SimpleQueue[_Page | None] = SimpleQueue()
        self.abandoned = False
        self._lock = threading.Lock()
        self._running: tuple[_Page, float] | None = None
        self.thread = threading.Thread(target=self._run, name="zekt-plugins", daemon=True)
        self.thread.start()

    def left(self) -> float:
        """Seconds until the present call is overdue; of a thread that rests, a whole limit."""
        running = self._running
        limit = LIMIT.total_seconds()
        # A plugin's time is the machine's, whatever time the product is told.
        return limit if running is None else running[1] + limit - time.monotonic()

    def give_up(self) -> _Page | None:
        """Abandon the thread if its call is overdue; answers the page that it stood in."""
        with self._lock:
            if self.abandoned or self._running is None or self.left() > 0:
                return None
            self.abandoned = True
            return self._running[0]

    def _run(self) -> None:
        while (page := self.pages.get()) is not None:
            while not page.dropped and len(page.answers) < len(page.calls):
                call = page.calls[len(page.answers)]
                self._running = page, time.monotonic()
                answer = _off(call) if self._is_off(call.plugin) else attempt(call)
                with self._lock:
                    if self.abandoned:
                        return
                    self._running = None
                    page.answers.append(answer)
            page.finish()


class _Overrun(NamedTuple):
    """A call that did not return in time: when, by a clock of seconds, and in which thread."""

    at: float
    thread: threading.Thread


class Caller:
    """Runs foreign hooks in one thread a process."""

    def __init__(
        self, off: Callable[[str, str], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`off(plugin, hook)` hears when a plugin is not asked any more. No thread starts yet."""
        self._off = off
        self._monotonic = monotonic
        self._thread: _Thread | None = None
        self._waiting: list[_Page] = []
        self._overruns: dict[str, list[_Overrun]] = defaultdict(list)
        self._gone: set[str] = set()

    def is_off(self, plugin: str) -> bool:
        """Whether this plugin's calls did not return too often."""
        return plugin in self._gone

    def close(self) -> None:
        """Let the thread end when it has done what waits."""
        if self._thread:
            self._thread.pages.put(None)
            self._thread = None

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """The answers in the order of the calls; where one failed, its PluginFailed."""
        page = _Page(calls, asyncio.get_running_loop())
        self._waiting.append(page)
        self._thread = self._thread or _Thread(self.is_off)
        self._thread.pages.put(page)
        try:
            while not page.done.is_set():
                await self._watch(page, self._thread)
        finally:
            page.dropped = True
            self._waiting.remove(page)
        return page.answers

    async def _watch(self, page: _Page, thread: _Thread) -> None:
        try:
            async with asyncio.timeout(thread.left()):
                await page.done.wait()
        except TimeoutError:
            stuck = thread.give_up()
            if stuck is not None:
                self._replace(stuck, thread.thread)

    def _replace(self, stuck: _Page, thread: threading.Thread) -> None:
        """What waits moves to a new thread, behind the rest of the page that stood."""
        call = stuck.calls[len(stuck.answers)]
        most = f"{LIMIT.total_seconds() * 1000:.0f} ms"
        stuck.answers.append(
            PluginFailed(f"The plugin {call.plugin} did not return from {call.hook} in {most}.")
        )
        is_off = self._overran(call.plugin, thread)
        self._thread = _Thread(self.is_off)
        for page in sorted(self._waiting, key=lambda page: page is not stuck):
            self._thread.pages.put(page)
        if is_off:
            self._off(call.plugin, call.hook)

    def _overran(self, plugin: str, thread: threading.Thread) -> bool:
        """Whether the plugin is off now. A machine that stands still at times fails a call too: one
        that has returned is forgiven.
        """
        now = self._monotonic()
        since = now - _FORGIVEN_AFTER.total_seconds()
        held = [one for one in self._overruns[plugin] if one.thread.is_alive() or one.at > since]
        self._overruns[plugin] = held = [*held, _Overrun(now, thread)]
        if len(held) >= MOST_OVERRUNS:
            self._gone.add(plugin)
        return plugin in self._gone
