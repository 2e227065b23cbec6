"""Many workers on one PostgreSQL: they share the pace, and none waits for another for good."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import DBAPIError

from tests.db.rows import (
    add_deliveries,
    change,
    delivery,
    delivery_row,
    leased,
    open_transaction,
    plant,
    settings_for,
    stored,
    until,
    waiting_for_lock,
)
from zekt_bot.db import deliveries, lanes, leases, tables
from zekt_bot.db.database import open_database
from zekt_bot.db.lanes import LaneClaim
from zekt_bot.domain.lanes import Pace
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from typing import Any

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database
    from zekt_bot.testing import ManualClock

LEASE = timedelta(seconds=60)
PACE = Pace(per_minute=60, burst=5, in_flight=4)
WIDE = Pace(per_minute=0, burst=1, in_flight=1000)


@pytest.fixture
async def workers(migrated_postgres: str, clock: ManualClock) -> AsyncIterator[list[Database]]:
    """Three processes' ways to one PostgreSQL database."""
    settings = settings_for(migrated_postgres)
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_database(settings, clock)) for _ in range(3)]


async def test_the_pace_is_shared(workers: list[Database]) -> None:
    planted = await plant(workers[0], *(delivery_row(n) for n in range(30)))

    async def claim(number: int) -> list[str]:
        request = LaneClaim(START, START + LEASE, f"lea_{number}", 8, PACE)
        return await workers[number % 3].write(leased, request)

    taken = list(chain.from_iterable(await asyncio.gather(*(claim(n) for n in range(30)))))
    assert len(set(taken)) == len(taken) == min(PACE.burst, PACE.in_flight)
    assert set(taken) < set(planted)


async def test_more_workers_send_no_faster(workers: list[Database]) -> None:
    await plant(workers[0], *(delivery_row(n) for n in range(100)))
    now, taken = START, list[str]()
    for second in range(30):
        now = START + timedelta(seconds=second)
        pace = Pace(per_minute=60, burst=5, in_flight=100)
        claims = [LaneClaim(now, now + LEASE, f"lea_{n}", 8, pace) for n in range(3)]
        every = (one.write(leased, each) for one, each in zip(workers, claims, strict=True))
        taken += chain.from_iterable(await asyncio.gather(*every))
    allowed = 5 + 29
    assert allowed * 0.9 <= len(taken) == len(set(taken)) <= allowed


async def test_workers_and_whoever_adds_rows_never_stop_each_other(
    workers: list[Database],
) -> None:
    names = [f"github:{n}" for n in range(7)]
    await plant(workers[0], *(delivery_row(n, name) for n, name in enumerate(names)))
    sent: list[str] = []

    async def add(number: int) -> None:
        order = names if number % 2 else names[::-1]
        rows = [delivery_row(1000 * (number + 1) + n, name) for n, name in enumerate(order)]
        await workers[number % 3].write(add_deliveries, rows)

    async def work(number: int) -> None:
        lease = f"lea_{number}"
        request = LaneClaim(START, START + LEASE, lease, 20, WIDE)
        taken = await workers[number % 3].write(leased, request)
        lane_of = {row["id"]: row["lane"] for row in await stored(workers[0], tables.deliveries)}
        results = [change(each, lease, "dispatched", START, lane=lane_of[each]) for each in taken]
        kept = await asyncio.gather(
            *(workers[(number + 1) % 3].write(deliveries.record, each) for each in results)
        )
        assert all(kept)
        sent.extend(taken)

    await asyncio.gather(*(step(n) for n in range(40) for step in (add, work)))
    while await workers[0].query(leases.next_due, "deliveries") is not None:
        await work(0)
    assert len(sent) == len(set(sent)) == 7 * 41


async def test_a_late_result_and_a_new_claim_do_not_wait_for_each_other(
    workers: list[Database], migrated_postgres: str
) -> None:
    (row,) = await plant(workers[0], delivery_row(1))
    await workers[0].write(leased, LaneClaim(START, START + LEASE, "lea_1", 1, PACE))
    late = START + LEASE
    async with open_transaction(migrated_postgres) as other:
        # A claim begins: the lane is locked.
        await other.run_sync(lanes.READY.run, {"now": late, "limit": 64})
        result = change(row, "lea_1", "dispatched", late)
        recording = asyncio.create_task(workers[0].write(deliveries.record, result))
        await until(lambda: waiting_for_lock(workers[1]))
        request = LaneClaim(late, late + LEASE, "lea_2", 1, PACE)
        assert await other.run_sync(leased, [request]) == [[row]]
        await other.commit()
    assert await recording is False
    assert (await delivery(workers[0], row))["lease"] == "lea_2"
    assert len(await stored(workers[0], tables.attempts)) == 1


async def test_units_that_lock_lanes_crosswise_are_both_stored(
    workers: list[Database], migrated_postgres: str
) -> None:
    await plant(workers[0], delivery_row(1, "github:1"), delivery_row(2, "github:2"))

    def add_too(connection: Connection, rows: Sequence[list[dict[str, Any]]]) -> list[None]:
        return add_deliveries(connection, rows)

    crossed, number = False, 3
    while not crossed:
        async with open_transaction(migrated_postgres) as other:
            await other.run_sync(lanes.wake, {"github:2": START})
            unit = asyncio.gather(
                workers[0].write(add_deliveries, [delivery_row(number, "github:1")]),
                workers[0].write(add_too, [delivery_row(number + 1, "github:2")]),
            )
            await until(lambda: waiting_for_lock(workers[1]))
            # PostgreSQL ends who finds the deadlock: the unit, or, a second late, this one.
            with contextlib.suppress(DBAPIError):
                await other.run_sync(lanes.wake, {"github:1": START})
                await other.commit()
                crossed = True
        await unit
        number += 2
    assert len(await stored(workers[0], tables.deliveries)) == number - 1
