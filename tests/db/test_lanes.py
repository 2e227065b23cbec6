"""Lanes: who may take how many deliveries when, and that none is forgotten."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from tests.db.rows import PACE, change, delivery_row, lane, leased, plant
from zekt_bot.db import deliveries, lanes, leases, tables
from zekt_bot.db.lanes import LaneClaim
from zekt_bot.domain.lanes import MOST_A_CLAIM, Pace
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

LEASE = timedelta(seconds=60)
SECOND = timedelta(seconds=1)
WIDE = Pace(per_minute=600, burst=100, in_flight=100)


async def claim(
    database: Database,
    now: datetime = START,
    pace: Pace = PACE,
    *,
    limit: int = 100,
    lease: str = "lea_1",
) -> list[str]:
    return await database.write(leased, LaneClaim(now, now + LEASE, lease, limit, pace))


async def record(database: Database, claimed: str, now: datetime = START, **values: Any) -> bool:
    """Store that a claimed delivery went out, or what `values` say."""
    to = values.pop("to", "dispatched")
    row = change(claimed, values.pop("lease", "lea_1"), to, now, **values)
    return await database.write(deliveries.record, row)


def closing(until: datetime, now: datetime = START) -> lanes.Limit:
    """A limit that closes the lane."""
    return lanes.Limit("github:1", now, until, None)


async def set_lane(database: Database, **values: Any) -> None:
    """Write a lane as a test wants it."""

    def write(connection: Connection, rows: Sequence[None]) -> Sequence[None]:
        connection.execute(update(tables.lanes).values(**values))
        return rows

    await database.write(write, None)


def rows(count: int, lane: str = "github:1", first: int = 1, **values: Any) -> list[dict[str, Any]]:
    return [delivery_row(n, lane, **values) for n in range(first, first + count)]


@pytest.mark.parametrize(
    ("pace", "taken"),
    [
        (Pace(60, burst=4, in_flight=6), 4),
        (Pace(60, burst=6, in_flight=3), 3),
        (Pace(600, burst=50, in_flight=50), MOST_A_CLAIM),
        (Pace(0, burst=1, in_flight=5), 5),
    ],
    ids=["tokens", "room in flight", "what a claim takes at most", "unpaced"],
)
async def test_a_claim_takes_the_least_of(database: Database, pace: Pace, taken: int) -> None:
    await plant(database, *rows(20))
    await set_lane(database, tokens=float(pace.burst))
    assert len(await claim(database, pace=pace)) == taken


async def test_a_claim_takes_no_more_than_was_asked_from_any_lane(database: Database) -> None:
    await plant(database, *rows(3, "github:1"), *rows(3, "github:2", first=11))
    assert len(await claim(database, limit=4)) == 4
    assert len(await claim(database, limit=4)) == 2


async def test_the_longest_due_goes_first(database: Database) -> None:
    planted = await plant(
        database,
        delivery_row(1, due_at=START),
        delivery_row(2, due_at=START - 2 * SECOND),
        delivery_row(3, due_at=START - SECOND),
    )
    assert [await claim(database, limit=1) for _ in range(3)] == [
        [planted[1]],
        [planted[2]],
        [planted[0]],
    ]


async def test_rows_that_are_not_due_are_left(database: Database) -> None:
    (now, later, _) = await plant(
        database,
        delivery_row(1),
        delivery_row(2, due_at=START + SECOND),
        delivery_row(3, due_at=None),
    )
    assert await claim(database) == [now]
    assert await claim(database, START + SECOND) == [later]
    assert await claim(database, START + timedelta(seconds=59)) == []


async def test_what_is_in_flight_leaves_room_when_it_is_recorded(database: Database) -> None:
    await plant(database, *rows(5))
    pace = Pace(6000, burst=100, in_flight=2)
    first = await claim(database, pace=pace)
    assert len(first) == 2
    assert await claim(database, START + SECOND, pace) == []
    assert await record(database, first[0], START + SECOND)
    assert len(await claim(database, START + SECOND, pace)) == 1


async def test_an_expired_lease_is_no_longer_in_flight_and_is_taken_again(
    database: Database,
) -> None:
    pace = Pace(6000, burst=100, in_flight=2)
    planted = await plant(database, *rows(2))
    assert sorted(await claim(database, pace=pace)) == planted
    assert await database.query(leases.next_due, "deliveries") == START + LEASE
    assert await claim(database, START + LEASE - SECOND, pace) == []
    assert sorted(await claim(database, START + LEASE, pace, lease="lea_2")) == planted


async def test_a_spent_lane_is_looked_at_when_there_is_a_token(database: Database) -> None:
    await plant(database, *rows(10))
    pace = Pace(per_minute=60, burst=4, in_flight=100)
    assert len(await claim(database, pace=pace)) == 4
    there = await database.query(leases.next_due, "deliveries")
    assert there is not None
    assert abs(there - (START + SECOND)) < timedelta(milliseconds=1)
    assert await claim(database, START + SECOND / 2, pace) == []
    assert len(await claim(database, there, pace)) == 1


async def test_an_unpaced_lane_is_never_short_of_tokens(database: Database) -> None:
    await plant(database, *rows(40))
    pace = Pace(per_minute=0, burst=1, in_flight=100)
    taken = [len(await claim(database, pace=pace)) for _ in range(6)]
    assert taken == [8, 8, 8, 8, 8, 0]


async def test_a_closed_lane_gives_nothing_before_and_gives_after(database: Database) -> None:
    await plant(database, *rows(5))
    (claimed,) = await claim(database, limit=1)
    opens = START + timedelta(seconds=30)
    again: dict[str, Any] = {"to": "retrying", "due_at": START + SECOND, "limit": closing(opens)}
    assert await record(database, claimed, **again)
    await plant(database, *rows(1, first=6))  # what is added to a closed lane does not open it
    assert await database.query(leases.next_due, "deliveries") == opens
    assert await claim(database, opens - SECOND) == []
    assert len(await claim(database, opens, WIDE)) == 6


async def test_closing_a_lane_again_never_opens_it_earlier(database: Database) -> None:
    first, second = await plant(database, *rows(2))
    await claim(database)
    opens = START + timedelta(seconds=30)
    await record(database, first, limit=closing(opens))
    await record(database, second, limit=closing(opens - 5 * SECOND))
    assert (await lane(database))["open_at"] == opens
    await plant(database, *rows(1, first=3))
    assert await claim(database, opens - SECOND) == []
    assert len(await claim(database, opens)) == 1


async def test_closing_one_lane_leaves_the_others_open(database: Database) -> None:
    (here,) = await plant(database, *rows(1))
    await claim(database)
    (there,) = await plant(database, *rows(1, "github:2", first=2))
    await record(database, here, limit=closing(START + LEASE))
    assert await claim(database) == [there]


async def test_what_becomes_due_in_an_empty_lane_is_found(database: Database) -> None:
    (first,) = await plant(database, *rows(1))
    await claim(database)
    await record(database, first)
    assert await claim(database, START + SECOND) == []
    assert (await lane(database))["next_ready_at"] is None
    (second,) = await plant(database, *rows(1, first=2, due_at=START + LEASE))
    assert await database.query(leases.next_due, "deliveries") == START + LEASE
    assert await claim(database, START + LEASE) == [second]


async def test_a_row_that_was_added_later_but_is_due_earlier_is_found(database: Database) -> None:
    await plant(database, *rows(1, due_at=START + LEASE))
    (early,) = await plant(database, *rows(1, first=2, due_at=START + SECOND))
    await plant(database, *rows(1, first=3, due_at=START + 2 * LEASE))
    assert await claim(database, START + SECOND) == [early]


async def test_what_was_not_sent_costs_no_token(database: Database) -> None:
    await plant(database, *rows(10))
    pace = Pace(per_minute=1, burst=4, in_flight=100)
    taken = await claim(database, pace=pace)
    for each in taken:
        await record(database, each, to="blocked", sent=False)
    assert len(taken) == len(await claim(database, pace=pace)) == 4
    assert await claim(database, pace=pace) == []


async def test_a_forgotten_lane_is_repaired(database: Database) -> None:
    (row,) = await plant(database, *rows(1))
    await plant(database, *rows(1, "github:2", first=2, due_at=None))
    await set_lane(database, next_ready_at=None)
    assert await claim(database) == []
    assert await database.write(lanes.sweep, START) == 1
    assert await claim(database) == [row]
    assert await database.write(lanes.sweep, START) == 0


async def test_a_sweep_finds_a_lane_whose_time_lies_too_far_ahead(database: Database) -> None:
    (row,) = await plant(database, delivery_row(1))
    await set_lane(database, next_ready_at=START + timedelta(days=30))
    assert await claim(database) == []
    assert await database.write(lanes.sweep, START) == 1
    assert await claim(database) == [row]


async def test_a_sweep_opens_a_lane_that_is_closed_for_longer_than_anything_waits(
    database: Database,
) -> None:
    (row,) = await plant(database, delivery_row(1))
    far = START + timedelta(days=30)
    await set_lane(database, next_ready_at=far, open_at=far)
    assert await database.write(lanes.sweep, START) == 1
    assert await claim(database) == [row]


async def test_a_sweep_leaves_alone_what_waits_for_good_reason(database: Database) -> None:
    await plant(database, delivery_row(1))
    hour = START + timedelta(hours=1)
    await set_lane(database, next_ready_at=hour, open_at=hour)  # GitHub said so
    await plant(database, delivery_row(2, "github:2", due_at=hour))
    assert await database.write(lanes.sweep, START) == 0
    assert await claim(database) == []


async def test_more_lanes_than_a_claim_locks_are_all_served(database: Database) -> None:
    planted = await plant(database, *(delivery_row(n, f"github:{n}") for n in range(150)))
    taken = [sorted(await claim(database, limit=1000)) for _ in range(4)]
    assert [len(each) for each in taken] == [64, 64, 22, 0]
    assert sorted(chain.from_iterable(taken)) == planted


async def test_an_event_with_many_lanes_holds_up_no_later_one_and_is_not_held_up(
    database: Database,
) -> None:
    late = delivery_row(300, "github:300", due_at=START + SECOND)
    planted = await plant(database, *(delivery_row(n, f"github:{n}") for n in range(300)), late)
    first = await claim(database, START + SECOND, limit=64)
    assert late["id"] in first
    taken, claims = set(first), 1
    while len(taken) < len(planted):
        taken |= set(await claim(database, START + SECOND, limit=64))
        claims += 1
    assert claims == 5


async def test_who_was_not_served_is_next_however_long_another_lanes_backlog(
    database: Database,
) -> None:
    unpaced = Pace(per_minute=0, burst=1, in_flight=100)
    await plant(database, *rows(99), *rows(1, "github:2", first=100, due_at=START + SECOND))
    order = []
    for n in range(3):
        now = START + SECOND * (1 + n)
        order += await claim(database, now, unpaced, limit=MOST_A_CLAIM, lease=f"lea_{n}")
    assert delivery_row(100, "github:2")["id"] in order


async def _tempo(database: Database) -> float | None:
    tempo: float | None = (await lane(database))["per_minute"]
    return tempo


async def test_a_limit_halves_the_pace_once_however_many_meet_it(database: Database) -> None:
    await plant(database, *rows(9))
    taken = await claim(database)
    opens = START + LEASE
    for claimed in taken:
        await record(database, claimed, to="retrying", due_at=opens, limit=closing(opens))
    assert (len(taken), await _tempo(database)) == (3, 30)
    after = opens + LEASE
    assert len(await claim(database, after, lease="lea_2")) == 3
    assert len(await claim(database, after + LEASE, lease="lea_3")) == 3
    assert await _tempo(database) == 30 + 10 + 10


async def test_a_receiver_says_how_fast_and_a_lane_without_a_backlog_learns_nothing(
    database: Database,
) -> None:
    (first,) = await plant(database, *rows(1))
    said = lanes.Limit("github:1", START, None, 12)
    await claim(database)
    await record(database, first, limit=said)
    assert await _tempo(database) is None
    await plant(database, *rows(9, first=2))
    (second, *_) = await claim(database)
    await record(database, second, limit=said)
    assert (await _tempo(database), (await lane(database))["open_at"]) == (12, None)


async def test_under_a_backlog_an_open_lane_is_quickened_each_minute(database: Database) -> None:
    pace = Pace(per_minute=60, burst=4, in_flight=100, most=85)
    await plant(database, *rows(60))
    seen = []
    for minute in range(5):
        await claim(database, START + minute * LEASE, pace, lease=f"lea_{minute}")
        seen.append(await _tempo(database))
    assert seen == [60, 70, 80, 85, 85]
