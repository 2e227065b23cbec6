"""Statements that hold however many rows they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.db.sql import insert_new
from zekt_bot.db.tables import principals
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

MANY = 11_000  # of three columns: more parameters than a statement of either database takes


def add(connection: Connection, rows: Sequence[range]) -> list[int]:
    return [
        insert_new(
            connection,
            principals,
            [{"id": f"somebody:{n}", "name": str(n), "first_seen_at": START} for n in numbers],
        )
        for numbers in rows
    ]


async def test_more_rows_than_a_statement_takes_are_inserted_and_counted(
    database: Database,
) -> None:
    assert await database.write(add, range(3)) == 3
    assert await database.write(add, range(MANY)) == MANY - 3
    assert await database.write(add, range(0)) == 0
