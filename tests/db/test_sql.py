"""Statements that hold however many rows they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from tests.db import rows
from zekt_bot.db.sql import insert_new, one_of, rows_of
from zekt_bot.db.tables import jobs, principals, runs
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

MANY = 11_000  # of three columns: more parameters than a statement of either database takes


def add(connection: Connection, given: Sequence[range]) -> list[bool]:
    return [
        insert_new(
            connection,
            principals,
            [{"id": f"somebody:{n}", "name": str(n), "first_seen_at": START} for n in numbers],
        )
        for numbers in given
    ]


def count(connection: Connection, _: Sequence[None]) -> list[int]:
    return [connection.execute(select(func.count()).select_from(principals)).scalar_one()]


async def test_more_rows_than_a_statement_takes_are_inserted_where_new(database: Database) -> None:
    await database.write(add, range(3))
    await database.write(add, range(MANY))
    assert await database.write(count, None) == MANY
    assert await database.write(add, range(1)) is False
    assert await database.write(add, range(MANY, MANY + 1)) is True
    assert await database.write(add, range(0)) is False


JOBS = [("run_1", 2**53 + 1, "build"), ("run_1", 7, 'it\'s \\ "é"'), ("run_2", 7, "build")]


async def put_jobs(database: Database) -> None:
    def put(connection: Connection, _: Sequence[None]) -> list[bool]:
        made = [
            {"run": run, "job_id": job_id, "name": name, "status": "queued"}
            for run, job_id, name in JOBS
        ]
        return [insert_new(connection, jobs, made)]

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
