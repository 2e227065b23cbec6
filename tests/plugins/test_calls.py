"""Strangers' hooks: what raises, hangs or answers late fails its own row, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from zekt_bot.errors import PluginFailed
from zekt_bot.plugins import calls
from zekt_bot.plugins.calls import Call, Caller, attempt, guarded, trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECOND = timedelta(seconds=1)


class Watched:
    """A caller, and what went off."""

    def __init__(self) -> None:
        self.off: list[tuple[str, str]] = []
        self.seconds = 0.0
        self.caller = Caller(
            lambda plugin, hook: self.off.append((plugin, hook)), lambda: self.seconds
        )
        self.free = threading.Event()

    def call(self, run: Callable[[], Any], plugin: str = "mine") -> Call:
        return Call(plugin, "zekt_block_reason", run)

    def hang(self) -> str:
        self.free.wait(20)
        return "late"

    async def said(self, *runs: Callable[[], Any]) -> list[Any]:
        answers = await self.caller.run([self.call(run) for run in runs])
        return [str(a) if isinstance(a, PluginFailed) else a for a in answers]


@pytest.fixture
def watched(hurried: None) -> Iterator[Watched]:
    made = Watched()
    yield made
    made.free.set()
    made.caller.close()


def raising(error: BaseException) -> Callable[[], Any]:
    def run() -> None:
        raise error

    return run


DID_NOT = "The plugin mine did not return from zekt_block_reason in 100 ms."
OFF = "The plugin mine is off: its calls did not return in time."


async def test_answers_come_in_the_order_of_the_calls_from_one_other_thread(
    watched: Watched,
) -> None:
    page = [watched.call(threading.get_ident) for _ in range(50)]
    answers = await watched.caller.run(page)
    assert len(set(answers)) == 1
    assert threading.get_ident() not in answers
    assert await watched.said(lambda: 1, lambda: 2) == [1, 2]


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), SystemExit(3), asyncio.CancelledError(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_is_raised_is_that_rows_failure(
    watched: Watched, error: BaseException
) -> None:
    said = f"The plugin mine raised {type(error).__name__} in zekt_block_reason."
    assert await watched.said(lambda: 1, raising(error), lambda: 3) == [1, said, 3]
    inline = attempt(watched.call(raising(error)))
    assert (str(inline), inline.__cause__) == (said, error)


async def test_an_interrupt_is_the_operators_in_the_main_thread_alone(watched: Watched) -> None:
    said = "The plugin mine raised KeyboardInterrupt in zekt_block_reason."
    assert await watched.said(raising(KeyboardInterrupt()), lambda: 2) == [said, 2]
    with pytest.raises(KeyboardInterrupt):
        attempt(watched.call(raising(KeyboardInterrupt())))


@pytest.mark.timeout(30)
async def test_a_call_that_hangs_fails_its_row_and_the_next_ones_go_on(watched: Watched) -> None:
    other = asyncio.create_task(watched.said(lambda: "waited"))
    assert await watched.said(watched.hang, lambda: 2) == [DID_NOT, 2]
    assert await other == ["waited"]
    assert watched.off == []


async def test_what_waits_behind_a_hanging_call_moves_to_the_next_thread(watched: Watched) -> None:
    pages = [asyncio.create_task(watched.said(watched.hang, lambda: 1))]
    pages += [asyncio.create_task(watched.said(partial(int, n))) for n in range(20)]
    first, *others = await asyncio.gather(*pages)
    assert first == [DID_NOT, 1]
    assert others == [[n] for n in range(20)]


async def test_after_three_the_plugin_is_off_and_its_restriction_stays(watched: Watched) -> None:
    assert await watched.said(*[watched.hang] * 5) == [DID_NOT] * 3 + [OFF] * 2
    assert watched.off == [("mine", "zekt_block_reason")]
    assert watched.caller.is_off("mine")
    assert await watched.said(lambda: "fine again") == [OFF]
    (answer,) = await watched.caller.run([watched.call(lambda: "another's", "other")])
    assert answer == "another's"


async def test_what_returned_late_is_forgiven_after_ten_minutes(watched: Watched) -> None:
    ran_in: list[threading.Thread] = []

    def late() -> str:
        ran_in.append(threading.current_thread())
        return watched.hang()

    for _ in range(5):  # as on a machine that stands still now and then
        assert await watched.said(late) == [DID_NOT]
        watched.free.set()
        await asyncio.to_thread(ran_in[-1].join)
        watched.free.clear()
        watched.seconds += 600
    assert watched.off == []


async def test_what_never_returns_is_not_forgiven(watched: Watched) -> None:
    for _ in range(3):
        assert await watched.said(watched.hang) == [DID_NOT]
        watched.seconds += 601
    assert await watched.said(lambda: "fine again") == [OFF]


async def test_a_call_that_nobody_waits_for_any_more_still_holds_up_nobody(
    watched: Watched,
) -> None:
    left = asyncio.create_task(watched.said(watched.hang))
    await asyncio.sleep(0.01)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    assert await watched.said(lambda: 1) == [1]


async def test_a_late_answer_counts_for_nothing(watched: Watched) -> None:
    late = threading.Event()

    def slow() -> str:
        watched.free.wait(20)
        late.set()
        return "late"

    assert await watched.said(slow) == [DID_NOT]
    watched.free.set()
    assert await asyncio.to_thread(late.wait, 60)
    assert await watched.said(lambda: 1) == [1]


async def _say(word: Any) -> Any:
    return word


async def _raise(error: BaseException) -> None:
    raise error


async def test_a_coroutine_gives_its_answer() -> None:
    assert await guarded(lambda: _say(5), SECOND) == 5


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), asyncio.CancelledError(), TimeoutError()]
)
async def test_whatever_a_coroutine_raises_is_the_plugins_failure(error: BaseException) -> None:
    with pytest.raises(PluginFailed):
        await guarded(lambda: _raise(error), SECOND)


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), asyncio.CancelledError(), TimeoutError()]
)
async def test_whatever_a_built_in_raises_is_its_failure(error: BaseException) -> None:
    with pytest.raises(PluginFailed, match=type(error).__name__):
        await trusted(lambda: _raise(error), SECOND)


async def test_a_built_in_that_is_stopped_has_not_failed() -> None:
    with pytest.raises(TimeoutError):
        await trusted(lambda: asyncio.sleep(20), timedelta(milliseconds=5))
    task = asyncio.create_task(trusted(lambda: asyncio.sleep(20), SECOND * 20))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(KeyboardInterrupt):
        await trusted(lambda: _raise(KeyboardInterrupt()), SECOND)


async def test_what_is_no_coroutine_is_the_plugins_failure() -> None:
    with pytest.raises(PluginFailed, match="TypeError"):
        await guarded(lambda: 5, SECOND)  # type: ignore[arg-type,return-value]


async def test_a_coroutine_that_takes_too_long_is_cancelled() -> None:
    ended = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(20)
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        await guarded(slow, timedelta(milliseconds=5))
    assert ended.is_set()


async def test_one_that_refuses_to_be_cancelled_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "_TO_STOP", 0.01)
    free = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            await free.wait()
        raise ValueError("nobody asks any more")

    with pytest.raises(TimeoutError):
        await guarded(stubborn, timedelta(milliseconds=5))
    free.set()
    await asyncio.sleep(0.01)


async def test_being_stopped_oneself_is_no_failure_of_the_plugin() -> None:
    ended = asyncio.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(20)
        finally:
            ended.set()

    task = asyncio.create_task(guarded(slow, SECOND * 20))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
