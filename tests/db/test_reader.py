"""Questions that wait are asked together, and each is answered by what was read afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from tests.db.rows import until
from zekt_bot.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database


class Double:
    """A question, and how it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []

    def __call__(self, connection: Connection, rows: Sequence[int]) -> list[int]:
        self.calls.append(list(rows))
        return [2 * row for row in rows]

    async def asked(self) -> bool:
        return bool(self.calls)


async def test_who_asks_at_once_is_answered_by_one_call(database: Database) -> None:
    double = Double()
    assert await asyncio.gather(*(database.ask(double, n) for n in range(4))) == [0, 2, 4, 6]
    assert double.calls == [[0, 1, 2, 3]]


async def test_who_asks_while_others_are_answered_is_read_for_anew(database: Database) -> None:
    double = Double()
    first = asyncio.create_task(database.ask(double, 1))
    await until(double.asked)
    assert (await database.ask(double, 2), await first) == (4, 2)
    assert double.calls == [[1], [2]]


async def test_what_cannot_be_read_is_told_to_all_who_ask(database: Database) -> None:
    def lost(connection: Connection, rows: Sequence[int]) -> list[int]:
        connection.execute(text("SELECT * FROM nowhere"))
        return [0] * len(rows)

    for _ in range(2):
        asked = [database.ask(lost, n) for n in range(2)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in found] == [StorageUnavailable] * 2
    with pytest.raises(StorageUnavailable):
        await database.query(lost, [1])


async def test_who_no_longer_waits_takes_nobodys_answer(database: Database) -> None:
    double = Double()
    gone, there = (asyncio.create_task(database.ask(double, n)) for n in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    assert await there == 4
    assert gone.cancelled()
