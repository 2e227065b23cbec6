"""Results of deliveries: who may write which, and what is written."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.db.rows import (
    DEADLINE,
    PACE,
    change,
    delivery,
    delivery_row,
    lane,
    leased,
    listening_for,
    open_transaction,
    plant,
    put,
    stored,
    wipe,
)
from tests.strategies import at_length
from zekt_bot.db import deliveries, leases, tables
from zekt_bot.db.lanes import LaneClaim
from zekt_bot.domain.deliveries import TRANSITIONS, DeliveryState
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from zekt_bot.db.database import Database

LEASE = timedelta(seconds=60)
SECOND = timedelta(seconds=1)
STATES: tuple[DeliveryState, ...] = get_args(DeliveryState)
BACKWARDS = [
    (state, to) for state in STATES for to in STATES if to != state and to not in TRANSITIONS[state]
]


async def claim(database: Database, lease: str = "lea_1", now: datetime = START) -> list[str]:
    return await database.write(leased, LaneClaim(now, now + LEASE, lease, 100, PACE))


async def record(
    database: Database, row: str, to: str = "dispatched", lease: str = "lea_1", **values: Any
) -> bool:
    now = values.pop("now", START + SECOND)
    return await database.write(deliveries.record, change(row, lease, to, now, **values))


async def audited(database: Database) -> list[str]:
    return [row["verb"] for row in await stored(database, tables.audit)]


async def attempted(database: Database) -> list[tuple[str, int, str]]:
    found = await stored(database, tables.attempts)
    return [(row["delivery"], row["n"], row["outcome"]) for row in found]


async def test_a_result_ends_the_lease_and_is_audited(database: Database) -> None:
    (row,) = await plant(database, delivery_row(1))
    await claim(database)
    assert await record(database, row)
    found = await delivery(database, row)
    assert (found["state"], found["lease"], found["due_at"]) == ("dispatched", None, None)
    assert (found["attempts"], found["dispatched_at"]) == (1, START + SECOND)
    assert await audited(database) == ["zekt:delivery:dispatched"]
    assert await attempted(database) == [(row, 1, "dispatched")]


async def test_a_retry_says_when_and_why(database: Database) -> None:
    (row,) = await plant(database, delivery_row(1))
    await claim(database)
    again_at = START + 5 * SECOND
    assert await record(database, row, "retrying", due_at=again_at, reason="503", failed=True)
    found = await delivery(database, row)
    assert (found["state"], found["due_at"], found["reason"]) == ("retrying", again_at, "503")
    assert (found["failures"], found["dispatched_at"]) == (1, None)
    assert await claim(database, now=again_at) == [row]
    await record(database, row)
    assert (await delivery(database, row))["failures"] == 0


async def test_what_was_decided_without_a_post_leaves_no_attempt(database: Database) -> None:
    (row,) = await plant(database, delivery_row(1))
    await claim(database)
    assert await record(database, row, "blocked", attempt=None, blocked_reason="consent")
    found = await delivery(database, row)
    assert (found["attempts"], found["blocked_reason"]) == (0, "consent")
    assert await attempted(database) == []


@pytest.mark.parametrize("taken_over", [True, False], ids=["taken by another", "given back"])
async def test_without_the_lease_only_the_attempt_is_kept(
    database: Database, taken_over: bool
) -> None:
    (row,) = await plant(database, delivery_row(1))
    await claim(database)
    late = START + LEASE
    if taken_over:
        assert await claim(database, "lea_2", late) == [row]
    else:
        await database.write(deliveries.release, (row, "lea_1", late))
    before = await delivery(database, row)
    assert not await record(database, row, now=late)
    assert await delivery(database, row) == before
    assert await attempted(database) == [(row, 1, "dispatched")]
    assert await audited(database) == []


async def test_a_result_waits_for_no_attempt_of_another_worker(
    postgres: Database, migrated_postgres: str
) -> None:
    """Who adds an attempt holds its delivery's key; both would else wait for each other."""
    (row,) = await plant(postgres, delivery_row(1))
    await claim(postgres)
    async with open_transaction(migrated_postgres) as other:
        adds = select(tables.deliveries.c.id).where(tables.deliveries.c.id == row)
        await other.execute(adds.with_for_update(read=True, key_share=True))
        assert await asyncio.wait_for(record(postgres, row), DEADLINE)


async def test_attempts_are_numbered_one_after_another(database: Database) -> None:
    rows = await plant(database, delivery_row(1), delivery_row(2))
    await claim(database)
    await record(database, rows[0], "retrying", due_at=START + SECOND)
    await record(database, rows[0])
    await record(database, rows[1])
    assert [(row, n) for row, n, _ in await attempted(database)] == [
        (rows[0], 1),
        (rows[0], 2),
        (rows[1], 1),
    ]


async def test_a_batch_answers_each_for_itself(database: Database) -> None:
    rows = await plant(database, *(delivery_row(n) for n in range(3)))
    await claim(database)
    results = [
        change(row, lease, "dispatched", START)
        for row, lease in zip(rows, ("lea_1", "lea_9", "lea_1"), strict=True)
    ]
    answers = await database.write(lambda c, _: [deliveries.record(c, results)], None)
    assert answers == [True, False, True]
    assert len(await attempted(database)) == 3


@pytest.mark.parametrize(("state", "to"), BACKWARDS)
async def test_no_result_moves_a_delivery_backwards(
    sqlite: Database, state: DeliveryState, to: DeliveryState
) -> None:
    (row,) = await plant(sqlite, delivery_row(1, state=state, lease="lea_1", due_at=START + LEASE))
    before = await delivery(sqlite, row)
    assert not await record(sqlite, row, to)
    assert await delivery(sqlite, row) == before
    assert await audited(sqlite) == []


@settings(max_examples=at_length(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(STATES), max_size=12))
async def test_a_delivery_only_ever_moves_as_the_table_says(
    database: Database, wanted: list[DeliveryState]
) -> None:
    await wipe(database)
    (row,) = await plant(database, delivery_row(1, due_at=START))
    state: DeliveryState = "pending"
    for to in wanted:
        lease = f"lea_{to}"
        claimed = await claim(database, lease, START + timedelta(days=1))
        allowed = bool(claimed) and (to == state or to in TRANSITIONS[state])
        assert await record(database, row, to, lease, due_at=START, sent=False) is allowed
        if claimed and not allowed:
            await database.write(deliveries.release, (row, lease, START))
        state = to if allowed else state
        assert (await delivery(database, row))["state"] == state


async def test_a_released_delivery_is_due_at_once_and_has_cost_nothing(database: Database) -> None:
    rows = await plant(database, *(delivery_row(n) for n in range(3)))
    await claim(database)
    tokens = (await lane(database))["tokens"]
    woken = listening_for(database, "deliveries")
    for row in rows:
        await database.write(deliveries.release, (row, "lea_1", START + SECOND))
    assert (await lane(database))["tokens"] == tokens + 3
    assert await database.query(leases.next_due, "deliveries") == START + SECOND
    assert woken.is_set()
    assert sorted(await claim(database, "lea_2", START + SECOND)) == rows


async def test_who_lost_a_lease_cannot_release_it(database: Database) -> None:
    (row,) = await plant(database, delivery_row(1))
    await claim(database)
    await claim(database, "lea_2", START + LEASE)
    before = (await delivery(database, row), await lane(database))
    await database.write(deliveries.release, (row, "lea_1", START + LEASE))
    assert (await delivery(database, row), await lane(database)) == before


async def test_what_waits_for_the_app_goes_on_when_it_works_again(database: Database) -> None:
    rows = await plant(
        database, delivery_row(1), delivery_row(2, "github:2"), delivery_row(3, "github:3")
    )
    await claim(database)
    for row, name in zip(rows, ("github:1", "github:2", "github:3"), strict=True):
        waits_for = "pause" if name == "github:3" else "app"
        facts: dict[str, Any] = {"waits_for": waits_for, "lane": name, "sent": False}
        assert await record(database, row, "pending", **facts)
    assert await claim(database, now=START + LEASE) == []
    assert await database.write(deliveries.resume, ("app", START + LEASE)) == 2
    assert sorted(await claim(database, now=START + LEASE)) == rows[:2]
    assert await database.write(deliveries.resume, ("app", START + LEASE)) == 0
    assert (await delivery(database, rows[2]))["waits_for"] == "pause"


async def test_what_is_under_way_is_not_made_due_again(database: Database) -> None:
    (row,) = await plant(database, delivery_row(1, waits_for="app"))
    await claim(database)
    before = await delivery(database, row)
    assert await database.write(deliveries.resume, ("app", START + SECOND)) == 0
    assert await database.write(deliveries.probe, ("app", START + SECOND)) is None
    assert await delivery(database, row) == before
    assert await claim(database, "lea_2", START + SECOND) == []


async def test_a_trial_makes_one_due_and_a_claim_can_be_of_its_lane_alone(
    database: Database,
) -> None:
    waits = {"waits_for": "app", "due_at": START + LEASE}
    rows = await plant(
        database,
        delivery_row(1, waits_for=None),
        delivery_row(2, "github:2", **waits),
        delivery_row(3, "github:2", **waits),
    )
    assert await database.write(deliveries.probe, ("app", START)) == "github:2"
    trial = LaneClaim(START, START + LEASE, "lea_1", 1, PACE, "github:2")
    assert await database.write(leased, trial) == rows[1:2]
    assert await database.write(leased, trial) == []
    assert await claim(database, "lea_2") == rows[:1]


async def test_one_cause_makes_one_delivery_and_each_replay_another(database: Database) -> None:
    same = {"cause_id": "sub_1"}
    await plant(database, delivery_row(1, **same))
    await plant(database, delivery_row(2, **same), delivery_row(3, **same, replay_no=1))
    await plant(database, delivery_row(4, **same, cause_kind="test"))
    found = await stored(database, tables.deliveries)
    assert [row["id"][-1] for row in found] == ["1", "3", "4"]


async def test_a_delivery_that_is_not_due_wakes_nobody(database: Database) -> None:
    event = listening_for(database, "deliveries")
    await plant(database, delivery_row(1, state="blocked", due_at=None))
    assert not event.is_set()
    assert (await lane(database))["next_ready_at"] is None
    await plant(database, delivery_row(2))
    assert event.is_set()


async def test_a_new_name_that_a_post_met_is_kept(database: Database) -> None:
    repository = {
        "id": 2,
        "full_name": "Acme/Old",
        "full_name_lower": "acme/old",
        "account_id": 20,
        "private": False,
        "archived": False,
        "version": 1,
        "updated_at": START,
    }
    await database.write(put, (tables.repositories, [repository]))
    (row,) = await plant(database, delivery_row(1))
    await claim(database)
    await record(database, row, renamed=(2, "Acme/New"))
    (found,) = await stored(database, tables.repositories)
    assert (found["full_name"], found["full_name_lower"]) == ("Acme/New", "acme/new")
