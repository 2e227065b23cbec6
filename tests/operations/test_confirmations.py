"""Runs that confirm at once: one transaction for all, that says what each would hear alone."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tests.db.rows import (
    at_once,
    delivery_row,
    envelope_row,
    open_transaction,
    plant,
    put,
    run_row,
    until,
    waiting_for_lock,
)
from tests.stage import open_stage
from zekt_bot.db import lanes, runs, tables
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.errors import Conflict
from zekt_bot.operations.confirmations import Confirmed, confirm
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot.domain.proof import Report
    from zekt_bot.testing import ManualClock

    Confirming = Coroutine[Any, Any, Confirmed]

CONSUMER = 2
FIRST, SECOND, BLOCKED = (f"dlv_{number:026}" for number in (1, 2, 3))
TOGETHER = f"cor_{1:026}"  # what all of them came of


def telling(
    stage: Stage, run_id: int, name: str, report: Report | None = None, attempt: int = 1
) -> Confirming:
    return confirm(stage.broker, WorkflowRun(RunKey(CONSUMER, run_id, attempt)), name, report)


def meet_the_last_run(connection: Connection) -> None:
    runs.meet(connection, {RunKey(CONSUMER, 12, 1): run_row(12, repository_id=CONSUMER)})


def wake_the_first_lane(connection: Connection) -> None:
    lanes.wake(connection, {"github:1": START})


@pytest.mark.parametrize("hold", [meet_the_last_run, wake_the_first_lane])
async def test_runs_are_locked_before_lanes_and_each_in_order(
    migrated_postgres: str,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    hold: Callable[[Connection], None],
) -> None:
    async with open_stage(migrated_postgres, clock) as stage:
        database = stage.broker.database
        await plant(database, delivery_row(1, "github:2"), delivery_row(2, "github:1"))
        known = [run_row(number, repository_id=CONSUMER) for number in (11, 12)]
        await database.write(put, (tables.runs, known))
        both = telling(stage, 11, FIRST), telling(stage, 12, SECOND)
        async with open_transaction(migrated_postgres) as other:
            await other.run_sync(hold)
            confirming = asyncio.create_task(at_once(database, monkeypatch, *both))
            await until(lambda: waiting_for_lock(database))
            await other.execute(text("SET LOCAL lock_timeout = '200ms'"))
            await other.run_sync(lanes.wake, {"github:1": START, "github:2": START})
            await other.commit()
        heard = await confirming
    assert [each.state for each in heard if isinstance(each, Confirmed)] == ["confirmed"] * 2


async def test_each_hears_what_it_would_after_the_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = stage.broker.database
    await plant(
        database,
        *(delivery_row(number, state="dispatched", attempts=1) for number in (1, 2)),
        delivery_row(3, state="blocked", due_at=None),
    )
    heard = await at_once(
        database,
        monkeypatch,
        telling(stage, 11, BLOCKED),
        telling(stage, 12, TOGETHER),
        telling(stage, 12, FIRST),
        telling(stage, 12, SECOND),
        telling(stage, 12, TOGETHER),
        telling(stage, 13, TOGETHER),
        telling(stage, 14, SECOND),
        telling(stage, 15, TOGETHER),
    )
    ids = [each.delivery_id if isinstance(each, Confirmed) else type(each) for each in heard]
    assert ids == [Conflict, Conflict, FIRST, Conflict, FIRST, SECOND, SECOND, SECOND]
    came = {row["run_id"]: row["caused_by_delivery_id"] for row in await stage.rows(tables.runs)}
    assert came == {1: None, 12: FIRST, 13: SECOND, 14: SECOND, 15: SECOND}
    states = [row["state"] for row in await stage.rows(tables.deliveries)]
    assert states == ["confirmed", "confirmed", "blocked"]


async def test_an_attempt_comes_of_what_the_former_said_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = stage.broker.database
    both = (delivery_row(number, state="dispatched", attempts=1) for number in (1, 2))
    await plant(database, *both)
    heard = await at_once(
        database,
        monkeypatch,
        telling(stage, 11, FIRST),
        telling(stage, 11, TOGETHER, attempt=2),
        telling(stage, 11, SECOND, attempt=3),
    )
    ids = [each.delivery_id if isinstance(each, Confirmed) else type(each) for each in heard]
    assert ids == [FIRST, FIRST, Conflict]


async def test_what_a_run_reported_stays_whatever_it_says_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = stage.broker.database
    await plant(database, delivery_row(1, state="dispatched", attempts=1))
    both = telling(stage, 11, FIRST, "failure"), telling(stage, 11, FIRST)
    await at_once(database, monkeypatch, *both)
    assert [row["reported"] for row in await stage.rows(tables.runs)] == [None, "failure"]
    assert [row["state"] for row in await stage.rows(tables.deliveries)] == ["failed"]


async def test_a_run_is_a_hop_further_than_the_one_that_confirms_with_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second delivery came of the first one's run."""
    database = stage.broker.database
    await plant(database, delivery_row(1, state="dispatched", attempts=1))
    chained = [
        (tables.runs, [run_row(11, repository_id=CONSUMER)]),
        (tables.envelopes, [envelope_row(2, 11)]),
    ]
    for some in chained:
        await database.write(put, some)
    further = delivery_row(2, state="dispatched", attempts=1) | {"target_repository_id": 3}
    await plant(database, further | {"envelope": envelope_row(2, 11)["id"]})
    theirs = WorkflowRun(RunKey(3, 12, 1))
    both = telling(stage, 11, FIRST), confirm(stage.broker, theirs, SECOND)
    await at_once(database, monkeypatch, *both)
    runs_of = {row["run_id"]: row for row in await stage.rows(tables.runs)}
    assert (runs_of[11]["hops"], runs_of[12]["hops"]) == (1, 2)
    assert runs_of[12]["root_run_id"] == runs_of[11]["root_run_id"] != runs_of[11]["id"]


async def test_the_audit_names_the_run_that_told_of_the_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = stage.broker.database
    await plant(database, delivery_row(1, state="dispatched", attempts=1))
    await at_once(
        database,
        monkeypatch,
        telling(stage, 11, FIRST),
        telling(stage, 12, FIRST, "failure"),
        telling(stage, 13, FIRST, "success"),
    )
    (entry,) = [row for row in await stage.rows(tables.audit) if row["delivery_id"] == FIRST]
    assert entry["verb"] == "zekt:delivery:failed"
    assert json.loads(entry["details"])["run_id"] == 12
