"""Laws of the lanes, whatever happens: the pace is kept, nothing is forgotten or taken twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.db.rows import change, delivery_row, leased, plant, stored, wipe
from tests.strategies import at_length
from zekt_bot.db import deliveries, lanes, leases, tables
from zekt_bot.db.lanes import LaneClaim
from zekt_bot.domain.lanes import Pace
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from typing import Any

    from zekt_bot.db.database import Database

LEASE = timedelta(seconds=60)
LANES = ("github:1", "github:2")
FOREVER = 300

small_paces = st.builds(Pace, st.integers(0, 90), st.integers(1, 4), st.integers(1, 5))
seconds = st.integers(0, 90_000).map(lambda ms: timedelta(milliseconds=ms))
laws = settings(
    max_examples=at_length(15),
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@dataclass
class Play:
    """A database, the time in it, and what the workers believe to hold."""

    database: Database
    pace: Pace
    now: datetime = START
    made: int = 0
    held: dict[str, tuple[str, datetime, str]] = field(default_factory=dict)
    waits: set[str] = field(default_factory=set)
    claims: int = 0

    async def add(self, lane: str, count: int, later: timedelta) -> None:
        numbers = range(self.made, self.made + count)
        self.made += count
        due_at = self.now + later
        planted = await plant(
            self.database, *(delivery_row(n, lane, due_at=due_at) for n in numbers)
        )
        self.waits.update(planted)

    async def claim(self, limit: int) -> list[str]:
        """As a worker does; nothing may be taken that another one still holds."""
        self.claims += 1
        until, lease = self.now + LEASE, f"lea_{self.claims}"
        request = LaneClaim(self.now, until, lease, limit, self.pace)
        taken = await self.database.write(leased, request)
        assert len(set(taken)) == len(taken) <= limit
        of_lane = {row["id"]: row["lane"] for row in await stored(self.database, tables.deliveries)}
        for each in taken:
            assert each in self.waits
            assert each not in self.held or self.held[each][1] <= self.now
            self.held[each] = (lease, until, of_lane[each])
        return taken

    async def record(self, which: int, to: str, later: timedelta, close: bool) -> None:
        """Report on something that some worker once took, maybe too late."""
        if not self.held:
            return
        claimed = sorted(self.held)[which % len(self.held)]
        lease, _, lane = self.held.pop(claimed)
        facts: dict[str, Any] = {"lane": lane}
        if to in {"retrying", "dispatched"} and close:
            facts["limit"] = lanes.Limit(lane, self.now, self.now + later, None)
        if to == "retrying":
            facts["due_at"] = self.now + later
        if to == "pending":
            facts |= {"waits_for": "app", "sent": False}
        row = change(claimed, lease, to, self.now, **facts)
        assert await self.database.write(deliveries.record, row)
        if to not in {"retrying", "pending"}:
            self.waits.discard(claimed)

    async def release(self, which: int) -> None:
        if self.held:
            claimed = sorted(self.held)[which % len(self.held)]
            lease = self.held.pop(claimed)[0]
            await self.database.write(deliveries.release, (claimed, lease, self.now))

    async def resume(self) -> None:
        await self.database.write(deliveries.resume, ("app", self.now))

    async def advance(self, by: timedelta) -> None:
        self.now += by

    async def finish(self) -> None:
        """Work as a lone worker does: sleep until the next due time, claim, send, record."""
        await self.resume()
        for _ in range(FOREVER):
            ready = await self.database.query(leases.next_due, "deliveries")
            if ready is None:
                break
            self.now = max(self.now, ready)
            for each in await self.claim(8):
                await self.record(sorted(self.held).index(each), "dispatched", LEASE, False)
        assert self.waits == set()


which = st.integers(0, 100)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(LANES), st.integers(1, 6), seconds),
        st.tuples(st.just("claim"), st.integers(1, 10)),
        st.tuples(
            st.just("record"),
            which,
            st.sampled_from(["dispatched", "retrying", "pending", "dead"]),
            seconds,
            st.booleans(),
        ),
        st.tuples(st.just("release"), which),
        st.tuples(st.just("resume")),
        st.tuples(st.just("advance"), seconds),
    ),
    max_size=25,
)


@laws
@given(small_paces, steps)
async def test_nothing_is_forgotten_and_nothing_is_taken_twice(
    database: Database, pace: Pace, steps: list[tuple[Any, ...]]
) -> None:
    await wipe(database)
    play = Play(database, pace)
    for name, *facts in steps:
        await getattr(play, name)(*facts)
    await play.finish()


@laws
@given(
    st.builds(Pace, st.integers(1, 90), st.integers(1, 4), st.integers(1, 5)),
    st.lists(st.tuples(seconds, st.integers(1, 9), st.booleans()), max_size=20),
)
async def test_over_any_while_no_more_is_taken_than_pace_and_burst_allow(
    database: Database, pace: Pace, looks: list[tuple[timedelta, int, bool]]
) -> None:
    await wipe(database)
    now, taken = START, list[tuple[datetime, int]]()
    await plant(database, *(delivery_row(n) for n in range(150)))
    for n, (wait, limit, sent) in enumerate(looks):
        now += wait
        request = LaneClaim(now, now + LEASE, f"lea_{n}", limit, pace)
        ids = await database.write(leased, request)
        taken.append((now, len(ids)))
        for each in ids if sent else []:
            await database.write(deliveries.record, change(each, f"lea_{n}", "dispatched", now))
    for n, (since, _) in enumerate(taken):
        for m, (to, _) in enumerate(taken[n:], n + 1):
            allowed = pace.burst + (to - since).total_seconds() * pace.per_minute / 60
            assert sum(count for _, count in taken[n:m]) <= allowed + 1e-6
