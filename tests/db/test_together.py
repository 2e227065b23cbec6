"""Statements that travel together do what they do one after the other."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from tests.db.rows import inbox_row, stored, wipe
from tests.db.statements import hearing
from tests.strategies import at_length
from zekt_bot.db import units
from zekt_bot.db.prepared import Prepared, run_together
from zekt_bot.db.tables import chores, inbox, principals
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

Call = tuple[str, list[dict[str, Any]]]
TABLES = (chores, inbox, principals)
STATEMENTS = {
    "chore": Prepared(insert(chores)),
    "webhook": Prepared(insert(inbox)),
    "person": Prepared(insert(principals)),
    "renamed": Prepared(
        update(principals).where(principals.c.id == bindparam("own")).values(name=bindparam("to"))
    ),
    "counted": Prepared(
        update(inbox)
        .where(inbox.c.id == bindparam("row"))
        .values(failures=inbox.c.failures + 1)
        .returning(inbox.c.id, inbox.c.failures, inbox.c.received_at)
    ),
}
THERE = [inbox_row(n) for n in range(3)]
many = settings(
    max_examples=at_length(20), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def chore(number: int) -> dict[str, Any]:
    return {"name": f"chore {number}", "due_at": START + timedelta(seconds=number)}


def person(number: int) -> dict[str, Any]:
    return {"id": f"github:{number}", "name": f"$1 of {number}", "first_seen_at": START}


def of_kind(
    kind: str, rows: st.SearchStrategy[dict[str, Any]], most: int = 3
) -> st.SearchStrategy[Call]:
    return st.lists(rows, max_size=most, unique_by=str).map(lambda some: (kind, some))


numbers = st.integers(10, 99)
calls = st.lists(
    st.one_of(
        of_kind("chore", numbers.map(chore)),
        of_kind("webhook", numbers.map(inbox_row)),
        of_kind("person", numbers.map(person)),
        of_kind(
            "renamed", st.builds(lambda n: {"own": f"github:{n}", "to": "x"}, st.integers(1, 3))
        ),
        # Of what answers something, no driver takes many rows at once.
        of_kind("counted", st.sampled_from([{"row": row["id"]} for row in THERE]), most=1),
    ),
    max_size=6,
    unique_by=lambda call: call[0],  # no two change the same row
)


def prepare(connection: Connection, rows: Sequence[None]) -> list[None]:
    STATEMENTS["webhook"].run_all(connection, THERE)
    STATEMENTS["person"].run_all(connection, [person(n) for n in range(1, 4)])
    return [None] * len(rows)


def apart(connection: Connection, rows: Sequence[list[Call]]) -> list[list[tuple[Any, ...]] | None]:
    """One statement after the other; what the last found, if it had one row."""
    (row,) = rows
    found = None
    for kind, some in row:
        found = None
        for each in some:
            found = [*map(tuple, STATEMENTS[kind].run(connection, each).all())]
        found = found if len(some) == 1 else None
    return [found]


def together(
    connection: Connection, rows: Sequence[list[Call]]
) -> list[list[tuple[Any, ...]] | None]:
    (row,) = rows
    found = run_together(connection, [(STATEMENTS[kind], some) for kind, some in row if some])
    return [None if found is None or not row[-1][1] else [*map(tuple, found.all())]]


async def all_of(database: Database) -> list[list[Mapping[str, Any]]]:
    return [await stored(database, table) for table in TABLES]


@many
@given(calls)
async def test_what_travels_together_does_what_it_does_alone(
    database: Database, asked: list[Call]
) -> None:
    seen = []
    for way in (apart, together):
        await wipe(database)
        await database.write(prepare, None)
        seen.append((await database.write(way, asked), await all_of(database)))
    assert seen[0] == seen[1]


ONE_EACH: list[Call] = [
    ("chore", [chore(1)]),
    ("person", [person(9)]),
    ("counted", [{"row": THERE[0]["id"]}]),
]


async def test_on_postgresql_neighbours_of_one_row_each_are_one_round_trip(
    postgres: Database,
) -> None:
    several: Call = ("webhook", [inbox_row(20), inbox_row(21)])

    def count(connection: Connection, rows: Sequence[list[Call]]) -> list[int]:
        with hearing(connection) as sent:
            together(connection, rows)
        return [len(sent)]

    await postgres.write(prepare, None)
    assert await postgres.write(count, ONE_EACH) == 1
    await wipe(postgres)
    await postgres.write(prepare, None)
    assert await postgres.write(count, [*ONE_EACH[:2], several, ONE_EACH[2]]) == 3


async def test_of_two_changes_of_one_row_none_is_lost(database: Database) -> None:
    def again(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[int]:
        run_together(connection, [(STATEMENTS["counted"], [row]) for row in (*rows, *rows)])
        return [0] * len(rows)

    await database.write(prepare, None)
    await database.write(again, {"row": THERE[0]["id"]})
    (counted,) = [row for row in await stored(database, inbox) if row["id"] == THERE[0]["id"]]
    assert counted["failures"] == 2


async def test_an_error_among_them_is_sqlalchemys_and_stores_nothing(database: Database) -> None:
    await database.write(prepare, None)
    before = await all_of(database)
    again: Call = ("webhook", [THERE[1] | {"guid": "not to be told"}])
    with pytest.raises(IntegrityError) as caught:
        await database.write(together, [ONE_EACH[0], again, ONE_EACH[1]])
    assert "not to be told" not in str(caught.value)
    assert await all_of(database) == before


def leaves(connection: Connection, rows: Sequence[int]) -> list[int]:
    """Insert later; how many are seen there by then."""
    seen = names(connection, [None])[0]
    units.later(connection, STATEMENTS["chore"], [chore(n) for n in rows])
    return [len(seen)] * len(rows)


def names(connection: Connection, rows: Sequence[None]) -> list[list[str]]:
    return [list(connection.execute(select(chores.c.name)).scalars())] * len(rows)


async def test_what_is_left_for_later_is_there_for_the_next_function_and_stored(
    database: Database,
) -> None:
    first, seen, second = await asyncio.gather(
        database.write(leaves, 1), database.write(names, None), database.write(leaves, 2)
    )
    assert (first, seen, second) == (0, ["chore 1"], 1)
    assert [row["name"] for row in await stored(database, chores)] == ["chore 1", "chore 2"]


async def test_who_must_see_it_settles_first(database: Database) -> None:
    def sees(connection: Connection, rows: Sequence[int]) -> list[list[str]]:
        leaves(connection, rows)
        units.run_left(connection)
        return names(connection, [None] * len(rows))

    assert await database.write(sees, 1) == ["chore 1"]


async def test_what_fails_later_fails_its_own_row_alone(database: Database) -> None:
    await database.write(leaves, 2)
    answers = await asyncio.gather(
        *(database.write(leaves, number) for number in (1, 2, 3)), return_exceptions=True
    )
    assert [isinstance(answer, IntegrityError) for answer in answers] == [False, True, False]
    found = [row["name"] for row in await stored(database, chores)]
    assert found == ["chore 1", "chore 2", "chore 3"]


async def test_a_transaction_that_failed_leaves_nothing_to_the_next(database: Database) -> None:
    def fails(connection: Connection, rows: Sequence[int]) -> list[int]:
        leaves(connection, rows)
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(fails, 1)
    assert await database.write(names, None) == []
    assert await stored(database, chores) == []
