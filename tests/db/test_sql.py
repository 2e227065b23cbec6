"""Statements that hold however many rows they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from zekt_bot.db.sql import insert_new
from zekt_bot.db.tables import principals
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

MANY = 11_000  # of three columns: more parameters than a statement of either database takes


def add(connection: Connection, rows: Sequence[range]) -> list[bool]:
    return [
        insert_new(
            connection,
            principals,
            [{"id": f"somebody:{n}", "name": str(n), "first_seen_at": START} for n in numbers],
        )
        for numbers in rows
    ]


def count(connection: Connection, rows: Sequence[None]) -> list[int]:
    return [connection.execute(select(func.count()).select_from(principals)).scalar_one()]


async def test_more_rows_than_a_statement_takes_are_inserted_where_new(database: Database) -> None:
    await database.write(add, range(3))
    await database.write(add, range(MANY))
    assert await database.write(count, None) == MANY
    assert await database.write(add, range(1)) is False
    assert await database.write(add, range(MANY, MANY + 1)) is True
    assert await database.write(add, range(0)) is False
