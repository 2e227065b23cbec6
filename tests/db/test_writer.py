"""What a caller of the writer may rely on, with a database that does its part."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, insert
from sqlalchemy.exc import IntegrityError

from tests.db.rows import DEADLINE, listening_for, settings_for, stored
from tests.strategies import at_length
from zekt_bot.db import units
from zekt_bot.db.database import open_database
from zekt_bot.db.tables import chores
from zekt_bot.errors import StorageUnavailable
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database
    from zekt_bot.testing import ManualClock


def add(connection: Connection, names: Sequence[str]) -> list[str]:
    """Store one row a name, in one statement; answers what was stored."""
    connection.execute(insert(chores), [{"name": name, "due_at": START} for name in names])
    return [f"{name} is stored" for name in names]


async def names(database: Database) -> list[str]:
    return [row["name"] for row in await stored(database, chores)]


class Gate:
    """A write that stays in its transaction until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def hold(self, _connection: Connection, rows: Sequence[None]) -> Sequence[None]:
        self.entered.set()
        assert self.opened.wait(30)
        return rows

    async def shut(self, database: Database) -> asyncio.Task[None]:
        """Begin the write and return once the writer is held up by it."""
        held = asyncio.create_task(database.write(self.hold, None))
        assert await asyncio.to_thread(self.entered.wait, 30)
        return held


@pytest.fixture
def commits() -> Iterator[list[object]]:
    """One item for each transaction that any engine commits."""
    seen: list[object] = []

    def committed(connection: Connection) -> None:
        seen.append(connection.engine)

    event.listen(Engine, "commit", committed)
    yield seen
    event.remove(Engine, "commit", committed)


async def test_calls_that_wait_share_one_transaction_and_one_call(
    database: Database, commits: list[object]
) -> None:
    calls: list[list[str]] = []

    def once(connection: Connection, rows: Sequence[str]) -> list[str]:
        calls.append(list(rows))
        return add(connection, rows)

    wanted = [f"chore {n:02}" for n in range(64)]
    answers = await asyncio.gather(*(database.write(once, name) for name in wanted))
    assert answers == [f"{name} is stored" for name in wanted]
    assert calls == [wanted]
    assert len(commits) == 1


async def test_a_call_that_finds_no_company_does_not_wait_for_any(
    database: Database, commits: list[object]
) -> None:
    for name in ("a", "b", "c"):
        await database.write(add, name)
    assert len(commits) == 3


@settings(max_examples=at_length(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from("ab"), max_size=150))
async def test_functions_keep_their_order_and_neighbours_are_one_call(
    sqlite: Database, pattern: list[str]
) -> None:
    calls: list[tuple[str, list[int]]] = []

    def a(_connection: Connection, rows: Sequence[int]) -> list[str]:
        calls.append(("a", list(rows)))
        return [f"a{row}" for row in rows]

    def b(_connection: Connection, rows: Sequence[int]) -> list[str]:
        calls.append(("b", list(rows)))
        return [f"b{row}" for row in rows]

    fns = {"a": a, "b": b}
    answers = await asyncio.gather(*(sqlite.write(fns[fn], n) for n, fn in enumerate(pattern)))
    assert answers == [f"{fn}{n}" for n, fn in enumerate(pattern)]
    assert [(fn, row) for fn, rows in calls for row in rows] == [
        (fn, n) for n, fn in enumerate(pattern)
    ]
    borders = sum(left != right for left, right in itertools.pairwise(pattern))
    assert len(calls) <= borders + 1 + len(pattern) // 64


async def test_heavy_calls_share_a_transaction_only_up_to_its_weight(
    database: Database,
) -> None:
    units: list[int] = []

    def heavy(_connection: Connection, rows: Sequence[int]) -> Sequence[int]:
        units.append(sum(rows))
        return rows

    weights = [50, 50, 25, 1, 124, 126, 2, 250]
    writes = (database.write(heavy, each, weight=each) for each in weights)
    assert await asyncio.gather(*writes) == weights
    assert units == [125, 125, 126, 2, 250]


async def test_each_caller_is_answered_after_the_commit(database: Database) -> None:
    async def write_and_look(name: str) -> None:
        await database.write(add, name)
        assert name in await names(database)

    await asyncio.gather(*(write_and_look(f"chore {n}") for n in range(100)))


@pytest.mark.parametrize("bad", [{0}, {7}, {3, 4, 19}, set(range(20))])
async def test_a_bad_row_fails_alone(database: Database, bad: set[int]) -> None:
    await database.write(add, "taken")
    wanted = ["taken" if n in bad else f"chore {n:02}" for n in range(20)]
    results: list[Any] = await asyncio.gather(
        *(database.write(add, name) for name in wanted), return_exceptions=True
    )
    assert {n for n in range(20) if isinstance(results[n], IntegrityError)} == bad
    good = [wanted[n] for n in range(20) if n not in bad]
    assert [each for each in results if isinstance(each, str)] == [f"{n} is stored" for n in good]
    assert await names(database) == [*good, "taken"]


async def test_a_row_that_raises_stores_nothing_of_itself(database: Database) -> None:
    def picky(connection: Connection, rows: Sequence[str]) -> list[str]:
        add(connection, rows)
        if "bad" in rows:
            raise ValueError("not this one")
        return list(rows)

    results: list[Any] = await asyncio.gather(
        *(database.write(picky, name) for name in ("a", "bad", "c")), return_exceptions=True
    )
    assert [str(each) for each in results] == ["a", "not this one", "c"]
    assert await names(database) == ["a", "c"]


async def test_a_function_that_answers_too_few_stores_nothing(database: Database) -> None:
    def forgetful(connection: Connection, rows: Sequence[str]) -> list[str]:
        add(connection, rows)
        return []

    writes = [database.write(fn, name) for fn, name in ((forgetful, "a"), (forgetful, "b"))]
    results: list[Any] = await asyncio.gather(
        *writes, database.write(add, "c"), return_exceptions=True
    )
    assert [type(each) for each in results] == [ValueError, ValueError, str]
    assert await names(database) == ["c"]


async def test_a_subscriber_wakes_after_the_commit_and_of_good_rows_only(
    database: Database,
) -> None:
    def add_and_wake(connection: Connection, rows: Sequence[str]) -> list[str]:
        for row in rows:
            units.wake(connection, row.split()[0])
        return add(connection, rows)

    await database.write(add, "runs 1")
    good, bad = listening_for(database, "inbox"), listening_for(database, "runs")
    write = asyncio.gather(
        *(database.write(add_and_wake, name) for name in ("inbox 1", "runs 1")),
        return_exceptions=True,
    )
    await asyncio.wait_for(good.wait(), DEADLINE)
    assert "inbox 1" in await names(database)
    await write
    assert not bad.is_set()


async def test_a_caller_that_gave_up_harms_nobody(sqlite: Database) -> None:
    gate = Gate()
    held = await gate.shut(sqlite)
    left, stayed = (asyncio.create_task(sqlite.write(add, name)) for name in ("left", "stayed"))
    await asyncio.sleep(0)
    left.cancel()
    gate.opened.set()
    await held
    assert await stayed == "stayed is stored"
    assert await sqlite.write(add, "next") == "next is stored"
    assert left.cancelled()


async def test_a_caller_that_gave_up_on_a_bad_row_harms_nobody(sqlite: Database) -> None:
    await sqlite.write(add, "taken")
    gate = Gate()
    held = await gate.shut(sqlite)
    left, stayed = (asyncio.create_task(sqlite.write(add, name)) for name in ("taken", "stayed"))
    await asyncio.sleep(0)
    left.cancel()
    gate.opened.set()
    await held
    assert await stayed == "stayed is stored"
    assert left.cancelled()


async def test_closing_finishes_what_waits_and_takes_nothing_more(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    gate = Gate()
    async with open_database(settings_for(migrated_sqlite), clock) as database:
        held = await gate.shut(database)
        waiting = [asyncio.create_task(database.write(add, f"chore {n:03}")) for n in range(100)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, gate.opened.set)
    assert held.done()
    assert [await each for each in waiting] == [f"chore {n:03} is stored" for n in range(100)]
    with pytest.raises(StorageUnavailable):
        await database.write(add, "late")
    async with open_database(settings_for(migrated_sqlite), clock) as database:
        assert await names(database) == [f"chore {n:03}" for n in range(100)]


async def test_more_than_ten_thousand_waiting_calls_are_refused(sqlite: Database) -> None:
    def nothing(_connection: Connection, rows: Sequence[int]) -> Sequence[int]:
        return rows

    gate = Gate()
    held = await gate.shut(sqlite)
    waiting = [asyncio.create_task(sqlite.write(nothing, n)) for n in range(10_000)]
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable):
        await sqlite.write(nothing, 10_000)
    gate.opened.set()
    assert await asyncio.gather(*waiting) == list(range(10_000))
    await held
    assert await sqlite.write(nothing, 10_000) == 10_000
