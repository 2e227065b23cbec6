"""What age deletes is told from what somebody deletes and says it was age."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.operations.auditing import LENGTH, fill, findings, forged_beginning, keep
from zekt_bot.db.tables import audit
from zekt_bot.domain import audit_chains as chains
from zekt_bot.errors import InvalidInput
from zekt_bot.operations import retention

if TYPE_CHECKING:
    from tests.stage import Stage

DAY = timedelta(days=1)
KEPT = timedelta(days=396)


async def purge(stage: Stage) -> int:
    """By the chore's own code; answers how many entries are left."""
    await retention.purge(stage.broker, lambda: False)
    return len(await stage.rows(audit))


def keep_for(stage: Stage, days: int) -> None:
    settings = replace(stage.broker.settings, audit_days=days)
    stage.broker = replace(stage.broker, settings=settings)


async def said(stage: Stage, *kept: bytes) -> list[str]:
    return [found["what"] for found in await findings(stage, *kept)]


async def test_what_is_deleted_by_age_is_no_finding(stage: Stage) -> None:
    await fill(stage, apart=DAY)
    kept = [await keep(stage)]
    stage.clock.advance(KEPT - LENGTH * DAY)
    for left in range(LENGTH, -1, -1):
        assert await purge(stage) == left
        assert await findings(stage, *kept) == []
        kept.append(await keep(stage))
        stage.clock.advance(DAY)
    await fill(stage, 3)
    assert await findings(stage, *kept) == []


@pytest.mark.parametrize("first", [2, LENGTH, LENGTH + 1])
async def test_a_beginning_that_is_cut_before_its_time_is_found(stage: Stage, first: int) -> None:
    await fill(stage)
    kept = await keep(stage)
    await forged_beginning(stage, first)
    for later in (timedelta(), KEPT - timedelta(hours=1, minutes=1)):
        stage.clock.advance(later)
        assert await findings(stage) == []
        (found,) = await findings(stage, kept)
        what = f"deleted before their time: 1 to {first - 1}"
        assert (found["seq"], found["what"]) == (1, what)
    stage.clock.advance(timedelta(minutes=2))
    assert await findings(stage, kept) == []  # by now age had done it


async def test_the_first_that_was_too_young_is_named(stage: Stage) -> None:
    await fill(stage, apart=DAY)
    kept = await keep(stage)
    stage.clock.advance(KEPT - 3.5 * DAY)
    assert await purge(stage) == 3
    assert await findings(stage, kept) == []
    await forged_beginning(stage, 6)
    assert await said(stage, kept) == ["deleted before their time: 4 to 5"]


async def test_what_came_after_a_checkpoint_was_made_after_it(stage: Stage) -> None:
    """Also where nothing that the checkpoint has is left, and nothing tells how old it was."""
    await fill(stage)
    stage.clock.advance(KEPT)
    assert await purge(stage) == 0
    kept = await keep(stage)
    await fill(stage)
    assert await findings(stage, kept) == []
    await forged_beginning(stage, LENGTH + 3)
    assert await said(stage, kept) == ["deleted before their time: 7 to 8"]
    stage.clock.advance(KEPT)
    assert await findings(stage, kept) == []


async def test_a_long_chain_is_bound_from_mark_to_mark(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "PARTS", 3)
    await fill(stage, 10, DAY)
    kept = await keep(stage)
    assert list(json.loads(kept)["chains"]["chain-0000"]["times"]) == ["1", "4", "7", "10", "11"]
    stage.clock.advance(KEPT - 9.5 * DAY)
    assert await purge(stage) == 9
    await forged_beginning(stage, 4)
    assert await findings(stage, kept) == []  # which no mark tells
    await forged_beginning(stage, 5)
    assert await said(stage, kept) == ["deleted before their time: 4 to 4"]


async def test_fewer_days_delete_rightfully(stage: Stage) -> None:
    await fill(stage)
    kept = await keep(stage)
    stage.clock.advance(31 * DAY)
    keep_for(stage, 30)
    assert await purge(stage) == 0
    assert await findings(stage, kept) == []
    await fill(stage)
    kept = await keep(stage)
    await forged_beginning(stage, LENGTH + 2)
    assert await said(stage, kept) == ["deleted before their time: 7 to 7"]


async def test_more_days_blame_nothing_that_went_by_the_fewer_ones(stage: Stage) -> None:
    keep_for(stage, 30)
    await fill(stage)
    old = await keep(stage)
    stage.clock.advance(31 * DAY)
    assert await purge(stage) == 0
    keep_for(stage, 396)
    assert await findings(stage, old) == []
    await fill(stage)
    new = await keep(stage)
    stage.clock.advance(100 * DAY)
    await forged_beginning(stage, LENGTH + 2)
    assert await findings(stage, old) == []
    assert await said(stage, old, new) == ["deleted before their time: 7 to 7"]


async def test_where_entries_are_kept_for_ever_age_deletes_none(stage: Stage) -> None:
    keep_for(stage, 0)
    await fill(stage)
    kept = await keep(stage)
    stage.clock.advance(3000 * DAY)
    assert await purge(stage) == LENGTH
    await forged_beginning(stage, 3)
    assert await said(stage, kept) == ["deleted before their time: 1 to 2"]
    keep_for(stage, 30)
    assert await purge(stage) == 0
    assert await findings(stage, kept) == []


async def test_a_clock_that_was_set_back_while_they_were_written_blames_nothing(
    stage: Stage,
) -> None:
    await fill(stage, 2, DAY)
    stage.clock.advance(-10 * DAY)
    await fill(stage, 2, DAY)
    kept = await keep(stage)
    left = []
    stage.clock.advance(KEPT - 2 * DAY)
    for _ in range(6):
        left.append(await purge(stage))
        assert await findings(stage, kept) == []
        stage.clock.advance(3 * DAY)
    assert left == [4, 4, 4, 3, 0, 0]


async def test_the_clock_of_who_verifies_may_be_an_hour_behind(stage: Stage) -> None:
    await fill(stage)
    kept = await keep(stage)
    stage.clock.advance(KEPT)
    assert await purge(stage) == 0
    stage.clock.advance(-timedelta(minutes=59))
    assert await findings(stage, kept) == []
    stage.clock.advance(-timedelta(minutes=2))
    assert await findings(stage, kept) != []


async def test_a_checkpoint_that_does_not_tell_times_and_days_is_refused(stage: Stage) -> None:
    await fill(stage)
    kept = json.loads(await keep(stage))
    for gone in (kept, kept["chains"]["chain-0000"]):
        name = "days" if gone is kept else "times"
        value = gone.pop(name)
        with pytest.raises(InvalidInput, match="make one with `zekt audit checkpoint`"):
            await findings(stage, json.dumps(kept).encode())
        gone[name] = value
    assert await findings(stage, json.dumps(kept).encode()) == []
