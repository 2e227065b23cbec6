"""Rows that are written, and awaited, together: each ends as it would alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import IntegrityError

from tests.db.test_writer import Gate, add, names
from zekt_bot.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database


def each_weighs_one(wanted: Sequence[str]) -> list[tuple[str, int]]:
    return [(name, 1) for name in wanted]


@pytest.mark.parametrize("bad", [set(), {0}, {3, 4, 19}, {69}, set(range(70))])
async def test_a_bad_row_is_answered_with_its_error(database: Database, bad: set[int]) -> None:
    await database.write(add, "taken")
    wanted = ["taken" if n in bad else f"chore {n:02}" for n in range(70)]
    answers: list[Any] = await database.write_all(add, each_weighs_one(wanted))
    good = [wanted[n] for n in range(70) if n not in bad]
    assert {n for n in range(70) if isinstance(answers[n], IntegrityError)} == bad
    assert [each for each in answers if isinstance(each, str)] == [f"{n} is stored" for n in good]
    assert await names(database) == [*good, "taken"]


async def test_nothing_is_written_as_soon_as_it_is_asked_for(database: Database) -> None:
    assert await database.write_all(add, []) == []


async def test_what_weighs_more_than_a_transaction_takes_is_several(database: Database) -> None:
    units: list[list[int]] = []

    def heavy(_connection: Connection, rows: Sequence[int]) -> Sequence[int]:
        units.append(list(rows))
        return rows

    weights = [50, 50, 25, 1, 124, 126, 2]
    assert await database.write_all(heavy, [(each, each) for each in weights]) == weights
    assert units == [[50, 50, 25], [1, 124], [126], [2]]


async def test_whoever_gave_up_harms_nobody(sqlite: Database) -> None:
    gate = Gate()
    held = await gate.shut(sqlite)
    left = asyncio.create_task(sqlite.write_all(add, each_weighs_one(["left", "too"])))
    stayed = asyncio.create_task(sqlite.write(add, "stayed"))
    await asyncio.sleep(0)
    left.cancel()
    gate.opened.set()
    await held
    assert await stayed == "stayed is stored"
    assert left.cancelled()
    assert await names(sqlite) == ["left", "stayed", "too"], "what was handed over is written"


async def test_where_there_is_no_room_for_all_none_is_taken(sqlite: Database) -> None:
    gate = Gate()
    held = await gate.shut(sqlite)
    many = [(f"chore {n:05}", 1) for n in range(9_999)]
    waiting = asyncio.create_task(sqlite.write_all(add, many))
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable):
        await sqlite.write_all(add, each_weighs_one(["a", "b"]))
    last = asyncio.create_task(sqlite.write(add, "last"))
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable):
        await sqlite.write(add, "one too many")
    gate.opened.set()
    await asyncio.gather(waiting, last, held)
    assert await names(sqlite) == [*(name for name, _ in many), "last"]
