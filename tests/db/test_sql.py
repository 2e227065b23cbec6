"""Statements that hold however many rows they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from tests.db import rows
from zekt_bot.db.sql import insert_if_new, insert_new, one_of, rows_of
from zekt_bot.db.tables import jobs, principals, runs
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

MANY = 11_000  # of three columns: more parameters than a statement of either database takes


def somebody(number: int) -> dict[str, object]:
    return {"id": f"somebody:{number}", "name": str(number), "first_seen_at": START}


def add(connection: Connection, given: Sequence[range]) -> list[None]:
    for numbers in given:
        insert_new(connection, principals, [somebody(n) for n in numbers])
    return [None] * len(given)


def add_one(connection: Connection, given: Sequence[int]) -> list[bool]:
    return [insert_if_new(connection, principals, somebody(number)) for number in given]


def count(connection: Connection, _: Sequence[None]) -> list[int]:
    return [connection.execute(select(func.count()).select_from(principals)).scalar_one()]


async def test_more_rows_than_a_statement_takes_are_inserted_where_new(database: Database) -> None:
    for numbers in (range(3), range(MANY), range(0)):
        await database.write(add, numbers)
    assert await database.write(count, None) == MANY


async def test_of_one_row_it_is_told_whether_it_was_new(database: Database) -> None:
    assert [await database.write(add_one, number) for number in (1, 1, 2)] == [True, False, True]


JOBS = [("run_1", 2**53 + 1, "build"), ("run_1", 7, 'it\'s \\ "é"'), ("run_2", 7, "build")]


async def put_jobs(database: Database) -> None:
    def put(connection: Connection, _: Sequence[None]) -> list[None]:
        made = [
            {"run": run, "job_id": job_id, "name": name, "status": "queued"}
            for run, job_id, name in JOBS
        ]
        insert_new(connection, jobs, made)
        return [None]

    await database.write(rows.put, (runs, [rows.run_row(n, id=f"run_{n}") for n in (1, 2)]))
    await database.write(put, None)


@pytest.mark.parametrize(
    "wanted", [[], JOBS[:1], JOBS[1:], [("run_1", 7, "build")], [*JOBS, *JOBS], set(JOBS)]
)
async def test_rows_are_found_by_several_columns(database: Database, wanted: list[object]) -> None:
    await put_jobs(database)
    asked = select(jobs.c.run, jobs.c.job_id, jobs.c.name).where(
        rows_of((jobs.c.run, jobs.c.job_id, jobs.c.name), "wanted")
    )
    found = await database.query(lambda c: c.execute(asked, {"wanted": wanted}).all())
    assert {tuple(row) for row in found} == set(JOBS) & set(wanted)


@pytest.mark.parametrize("wanted", [[], [7], {7, 8}, (2**53 + 1, 7)])
async def test_rows_are_found_by_one_column(database: Database, wanted: Sequence[int]) -> None:
    await put_jobs(database)
    asked = select(jobs.c.job_id).where(one_of(jobs.c.job_id, "wanted"))
    found = await database.query(lambda c: c.execute(asked, {"wanted": wanted}).scalars().all())
    assert sorted(found) == sorted(job_id for _, job_id, _ in JOBS if job_id in wanted)


def test_what_is_neither_big_number_nor_text_is_no_list() -> None:
    with pytest.raises(TypeError, match="first_seen_at"):
        one_of(principals.c.first_seen_at, "wanted")
