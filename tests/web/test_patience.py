"""How long a request waits for the database."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from zekt_bot.errors import StorageUnavailable
from zekt_bot.web.bodies import Patience


async def for_ever(patience: Patience) -> None:
    with patience.waiting():
        await asyncio.Event().wait()


async def test_each_who_waits_too_long_is_sent_away() -> None:
    patience = Patience(timedelta(seconds=0.02))
    with patience.waiting():
        pass  # the timer that this one set rings for those behind
    first = asyncio.create_task(for_ever(patience))
    await asyncio.sleep(0.01)
    ended = await asyncio.gather(first, for_ever(patience), return_exceptions=True)
    assert [type(each) for each in ended] == [StorageUnavailable] * 2
    with pytest.raises(StorageUnavailable):
        await for_ever(patience)
    mine = asyncio.current_task()
    assert mine is not None
    assert mine.cancelling() == 0


async def test_what_is_done_in_time_stays_done() -> None:
    patience = Patience(timedelta(seconds=0.02))
    with patience.waiting():
        done = "in time"
    with pytest.raises(StorageUnavailable):
        await for_ever(patience)  # the timer has rung
    assert done == "in time"
    with pytest.raises(KeyError), patience.waiting():
        raise KeyError
    with pytest.raises(StorageUnavailable), patience.waiting():
        raise TimeoutError


async def test_who_is_called_off_by_somebody_else_stays_so() -> None:
    waiting = asyncio.create_task(for_ever(Patience(timedelta(hours=1))))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_who_is_called_off_while_too_late_stays_so() -> None:
    async def late() -> None:
        with Patience(timedelta(0)).waiting():
            try:
                await asyncio.Event().wait()
            finally:
                waiting.cancel()

    waiting = asyncio.create_task(late())
    with pytest.raises(asyncio.CancelledError):
        await waiting
