"""Deliveries that a worker holds and has not begun with: none is lost, none is begun too late."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from tests.db.rows import until
from tests.stage import LEASE, Stage, clock, stage
from tests.working import (
    DISPATCH,
    MINT,
    a_second_passes,
    all_are,
    finished,
    minted,
    nothing_is_looked_for,
    posted,
    states,
)
from zekt_bot import worker
from zekt_bot.app import working
from zekt_bot.db.tables import deliveries
from zekt_bot.pipeline.deliver import deliver

if TYPE_CHECKING:
    import pytest

__all__ = ["clock", "stage"]
_SECOND = timedelta(seconds=1)


async def one_behind_the_other(stage: Stage, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """So many deliveries are due, of which one is sent at a time."""
    monkeypatch.setattr(worker, "SENDERS", 1)
    await stage.serve()
    for _ in range(many):
        await stage.finish_run("build")
    await stage.prepare()


async def test_who_stops_gives_back_at_once_what_only_waits(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_behind_the_other(stage, monkeypatch, 3)
    free = asyncio.Event()
    stage.github.fail("POST", DISPATCH, until=free)

    async def given_back() -> bool:
        rows = await stage.rows(deliveries)
        return sorted((row["state"], row["lease"] is None) for row in rows) == [
            ("pending", False),
            ("pending", True),
            ("pending", True),
        ]

    async with working(stage.broker) as working_one:
        await until(lambda: posted(stage))
        working_one.stop()
        await until(given_back)
        free.set()
    assert sorted(await states(stage)) == ["dispatched", "pending", "pending"]


async def test_what_waited_for_half_its_lease_is_leased_anew(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_behind_the_other(stage, monkeypatch, 2)
    first, second = asyncio.Event(), asyncio.Event()
    for free in (first, second):
        stage.github.fail("POST", DISPATCH, until=free)

    async def recorded() -> bool:
        return sorted(await states(stage)) == ["dispatched", "pending"]

    async with working(stage.broker):
        await until(lambda: posted(stage))
        stage.clock.advance(LEASE / 2 + _SECOND)
        first.set()
        await until(lambda: posted(stage, 2))
        await until(recorded)
        (under_way,) = [row for row in await stage.rows(deliveries) if row["lease"]]
        assert under_way["due_at"] == stage.clock.now() + LEASE
        second.set()
    assert await states(stage) == ["dispatched"] * 2


async def test_what_waits_behind_a_refused_key_does_not_try_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_behind_the_other(stage, monkeypatch, 5)
    await nothing_is_looked_for(stage)
    stage.github.fail("POST", MINT, status=401, times=99)
    began = len(minted(stage))

    async def paused() -> bool:
        rows = await stage.rows(deliveries)
        waits = [row["waits_for"] for row in rows]
        return waits.count("app") == 1 and not any(row["lease"] for row in rows)

    async def gone_through() -> bool:
        await a_second_passes(stage)
        return await all_are(stage, "dispatched")

    async with working(stage.broker):
        await until(paused)
        assert len(minted(stage)) == began + 2  # the first one alone, with a new JWT once more
        stage.github.clear_faults()
        await until(gone_through)
    assert len(stage.github.dispatches) == 5


async def test_a_sender_that_was_cancelled_is_replaced(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_behind_the_other(stage, monkeypatch, 1)
    async with working(stage.broker):
        await stage.github.wait_for_dispatches(1)
        senders = [task for task in asyncio.all_tasks() if task.get_name() == "zekt-pool"]
        assert all(task.cancel() for task in senders)
        assert senders
        await finished(stage)
        await stage.github.wait_for_dispatches(2)


async def test_a_stray_cancellation_is_told_and_its_sender_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one_behind_the_other(stage, monkeypatch, 2)
    strays = [asyncio.CancelledError()]

    async def cancelled_once(*of: Any) -> Any:
        if strays:
            raise strays.pop()
        return await deliver(*of)

    monkeypatch.setattr(worker, "deliver", cancelled_once)
    with capture_logs() as said:
        async with working(stage.broker):
            await stage.github.wait_for_dispatches(1)
    assert [line["event"] for line in said if line["log_level"] == "error"] == ["worker.failed"]
