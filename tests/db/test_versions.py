"""A decision is applied only while every row that it read has the version that it read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from tests.db.rows import open_transaction, put, run_row, stored, until, waiting_for_lock
from zekt_bot.db import versions
from zekt_bot.db.tables import repositories, runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

ONE, TWO, GONE = (str(run_row(n)["id"]) for n in (1, 2, 3))


def decide(connection: Connection, rows: Sequence[Mapping[str, int | None]]) -> list[bool]:
    """Apply a decision that read `rows`: block every run, or write nothing."""
    answers = []
    for read in rows:
        held = versions.hold(connection, runs, read)
        if held:
            connection.execute(update(runs).values(state="blocked", version=runs.c.version + 1))
        answers.append(held)
    return answers


def decide_together(connection: Connection, rows: Sequence[Mapping[str, int]]) -> list[bool]:
    """As `decide`, where facts of several tables are held in one statement."""
    read = [{repositories: {}, runs: each} for each in rows]
    answers = versions.stand(connection, read, to_change=runs)
    if any(answers):
        connection.execute(update(runs).values(state="blocked", version=runs.c.version + 1))
    return answers


async def states(database: Database) -> list[str]:
    return [row["state"] for row in await stored(database, runs)]


READ: list[tuple[dict[str, int], bool]] = [
    ({}, True),
    ({ONE: 1}, True),
    ({ONE: 1, TWO: 5}, True),
    ({ONE: 1, TWO: 4}, False),
    ({ONE: 2, TWO: 5}, False),
    ({ONE: 1, GONE: 1}, False),
]


@pytest.mark.parametrize(
    ("read", "applied"), [*READ, ({ONE: 1, GONE: None}, True), ({ONE: None}, False)]
)
async def test_a_decision_is_applied_only_to_what_it_read(
    database: Database, read: dict[str, int | None], applied: bool
) -> None:
    await database.write(put, (runs, [run_row(1), run_row(2, version=5)]))
    assert await database.write(decide, read) is applied
    assert await states(database) == (["blocked"] * 2 if applied else ["open"] * 2)


@pytest.mark.parametrize(("read", "applied"), READ)
async def test_so_is_one_on_several_tables(
    database: Database, read: dict[str, int], applied: bool
) -> None:
    await database.write(put, (runs, [run_row(1), run_row(2, version=5)]))
    answers = await asyncio.gather(
        database.write(decide_together, read), database.write(decide_together, {ONE: 9})
    )
    assert [*answers] == [applied, False]
    assert await states(database) == (["blocked"] * 2 if applied else ["open"] * 2)


async def test_of_two_decisions_on_the_same_facts_one_is_applied(database: Database) -> None:
    await database.write(put, (runs, [run_row(1)]))
    answers = await asyncio.gather(*(database.write(decide, {ONE: 1}) for _ in range(5)))
    assert sorted(answers) == [False] * 4 + [True]


@pytest.mark.parametrize("deciding_by", [decide, decide_together])
async def test_a_change_in_another_transaction_is_waited_for_and_noticed(
    postgres: Database, migrated_postgres: str, deciding_by: Any
) -> None:
    await postgres.write(put, (runs, [run_row(1)]))
    async with open_transaction(migrated_postgres) as other:
        await other.execute(update(runs).values(version=2))
        deciding = asyncio.create_task(postgres.write(deciding_by, {ONE: 1}))
        await until(lambda: waiting_for_lock(postgres))
        await other.commit()
    assert await deciding is False
    assert await states(postgres) == ["open"]


def held(connection: Connection) -> bool:
    return versions.hold(connection, runs, {ONE: 1})


def held_together(connection: Connection) -> bool:
    return versions.stand(connection, [{repositories: {}, runs: {ONE: 1}}])[0]


@pytest.mark.parametrize("holding_by", [held, held_together])
async def test_what_a_decision_read_cannot_change_until_it_is_stored(
    postgres: Database, migrated_postgres: str, holding_by: Any
) -> None:
    await postgres.write(put, (runs, [run_row(1)]))

    def change(connection: Connection, rows: Sequence[None]) -> Sequence[None]:
        connection.execute(update(runs).values(version=2))
        return rows

    async with open_transaction(migrated_postgres) as deciding:
        assert await deciding.run_sync(holding_by)
        changing = asyncio.create_task(postgres.write(change, None))
        await until(lambda: waiting_for_lock(postgres))
        await deciding.commit()
    await changing
