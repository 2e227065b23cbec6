"""The audit: chained without gaps, in the same transaction as what it tells of."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text, update

from tests.db.rows import (
    PACE,
    delivery_row,
    inbox_row,
    open_transaction,
    plant,
    put,
    settings_for,
    stored,
    until,
    waiting_for_lock,
    wipe,
)
from tests.strategies import at_length, entries, verbs
from zekt_bot.db import audit, lanes, tables
from zekt_bot.db import deliveries as delivery_rows
from zekt_bot.db.database import open_database
from zekt_bot.db.types import microseconds
from zekt_bot.domain.audit import GENESIS, GITHUB, SYSTEM, Entry, chain_hash
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from zekt_bot.db.database import Database
    from zekt_bot.testing import ManualClock

Row = Mapping[str, Any]
ENTRY = Entry("zekt:delivery:dispatched", "zekt", delivery_id="dlv_1", details={"status": 204})
many = settings(
    max_examples=at_length(15), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(connection: Connection, rows: Sequence[Sequence[Entry]]) -> list[None]:
    """Record entries, as any unit does."""
    for row in rows:
        for entry in row:
            audit.record(connection, entry)
    return [None] * len(rows)


def broken_at(chain: Row, rows: Sequence[Row]) -> int | None:
    """The place of the first row that does not follow from the one before it."""
    previous, seq = chain["first_previous"], chain["first_seq"]
    for place, row in enumerate(rows):
        names = ("verb", "actor", "correlation_id", "delivery_id", "account_id", "repository_id")
        try:
            entry = Entry(**{n: row[n] for n in names}, details=json.loads(row["details"]))
        except ValueError:
            return place
        at = microseconds(row["at"])
        if row["seq"] != seq or row["hash"] != chain_hash(
            previous, row["chain"], row["seq"], at, entry
        ):
            return place
        previous, seq = row["hash"], seq + 1
    return None


async def chains(database: Database) -> list[tuple[Row, list[Row]]]:
    """Every chain with its rows."""
    rows = await stored(database, tables.audit)
    found = await stored(database, tables.audit_chains)
    assert {row["chain"] for row in rows} <= {chain["chain"] for chain in found}
    return [(chain, [row for row in rows if row["chain"] == chain["chain"]]) for chain in found]


async def verify(database: Database) -> list[Row]:
    """All rows, once every chain is whole from its beginning to its head."""
    for chain, rows in await chains(database):
        assert (chain["first_previous"], chain["first_seq"]) == (GENESIS, 1)
        assert broken_at(chain, rows) is None
        assert (chain["head_seq"], chain["head_hash"]) == (len(rows), rows[-1]["hash"])
    return [row for _, rows in await chains(database) for row in rows]


@many
@given(st.lists(st.lists(entries, max_size=4), max_size=8))
async def test_what_is_recorded_is_chained_and_kept_as_it_was(
    database: Database, units: list[list[Entry]]
) -> None:
    await wipe(database)
    for unit in units:
        await database.write(write, unit)
    found = await verify(database)
    kept = [(row["verb"], row["actor"], json.loads(row["details"])) for row in found]
    assert kept == [(one.verb, one.actor, dict(one.details)) for unit in units for one in unit]
    actors = {row["id"] for row in await stored(database, tables.principals)}
    assert actors == {one.actor for unit in units for one in unit} - {SYSTEM, GITHUB}


async def test_the_clock_tells_the_time_of_an_entry(database: Database, clock: ManualClock) -> None:
    await database.write(write, [ENTRY])
    clock.advance(timedelta(hours=1))
    await database.write(write, [ENTRY])
    first, second = await verify(database)
    assert second["at"] - first["at"] == timedelta(hours=1)


async def test_concurrent_writers_leave_whole_chains_and_no_gaps(
    migrated_postgres: str, clock: ManualClock
) -> None:
    options = settings_for(migrated_postgres)
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(open_database(options, clock)) for _ in range(3)]
        units = ([Entry("zekt:test:wrote", f"writer-{n % 7}")] * (n % 4) for n in range(120))
        await asyncio.gather(*(writers[n % 3].write(write, unit) for n, unit in enumerate(units)))
        assert len(await verify(writers[0])) == sum(n % 4 for n in range(120))
        assert len(await chains(writers[0])) <= 3


async def two_chains(database: Database, url: str, clock: ManualClock) -> None:
    """The second one while a transaction that holds the first stays open."""
    await database.write(write, [ENTRY])
    async with open_transaction(url) as other:
        await other.run_sync(write, [[ENTRY]])
        await other.run_sync(audit.flush, clock.now())
        await database.write(write, [ENTRY])
        await other.commit()


async def test_a_transaction_that_stays_open_holds_nobody_up(
    postgres: Database, migrated_postgres: str, clock: ManualClock
) -> None:
    await two_chains(postgres, migrated_postgres, clock)
    assert len(await verify(postgres)) == 3
    assert len(await chains(postgres)) == 2


@pytest.mark.parametrize("actor", [SYSTEM, "github:77"], ids=["a new chain", "a new person"])
async def test_who_waits_for_a_lane_keeps_nobody_from_the_audit(
    postgres: Database, migrated_postgres: str, clock: ManualClock, actor: str
) -> None:
    entry = Entry("zekt:test:wrote", actor)

    def add(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[None]:
        delivery_rows.add(connection, rows, START, PACE)
        return audit.record_all(connection, [entry] * len(rows))

    await plant(postgres, delivery_row(1, "github:1"))
    if actor != SYSTEM:
        await two_chains(postgres, migrated_postgres, clock)
    known = len(await stored(postgres, tables.audit))
    async with open_transaction(migrated_postgres) as other:
        await other.run_sync(lanes.hold, ["github:1"])
        await other.run_sync(audit.record, entry)
        waiting = asyncio.create_task(postgres.write(add, delivery_row(2, "github:1")))
        await until(lambda: waiting_for_lock(postgres))
        await other.execute(text("SET LOCAL lock_timeout = '200ms'"))
        await other.run_sync(audit.flush, clock.now())
        await other.commit()
    await waiting
    assert len(await verify(postgres)) == known + 2


@pytest.mark.parametrize("early", [True, False], ids=["before the rows", "after the rows"])
async def test_a_failing_unit_leaves_neither_its_rows_nor_its_entries(
    database: Database, early: bool
) -> None:
    def both(connection: Connection, rows: Sequence[str]) -> Sequence[str]:
        for row in rows:
            if early:
                audit.record(connection, Entry("zekt:test:wrote", row))
            put(connection, [(tables.inbox, [inbox_row(1 + ord(row), guid=row)])])
            if row == "b":
                raise ValueError(row)
            if not early:
                audit.record(connection, Entry("zekt:test:wrote", row))
        return rows

    answers = await asyncio.gather(
        *(database.write(both, row) for row in "abc"), return_exceptions=True
    )
    assert isinstance(answers[1], ValueError)
    assert [row["actor"] for row in await verify(database)] == ["a", "c"]
    assert [row["guid"] for row in await stored(database, tables.inbox)] == ["a", "c"]


changes = st.one_of(
    st.tuples(st.just("at"), st.integers(1, 10**9).map(lambda us: timedelta(microseconds=us))),
    st.tuples(st.just("seq"), st.integers(1, 9)),
    st.tuples(st.just("verb"), verbs),
    st.tuples(
        st.sampled_from(["actor", "correlation_id", "delivery_id", "hash", "chain"]),
        st.from_regex(r"[a-z0-9_]{1,20}", fullmatch=True),
    ),
    st.tuples(st.sampled_from(["account_id", "repository_id"]), st.integers(0, 2**63 - 1)),
    st.tuples(
        st.just("details"),
        st.dictionaries(st.text("ab", max_size=2), st.integers(0, 9), max_size=3),
    ),
)


@many
@given(st.lists(entries, min_size=1, max_size=6), st.integers(0, 5), changes)
async def test_whatever_is_changed_in_a_row_breaks_the_chain_there(
    database: Database, unit: list[Entry], place: int, changed: tuple[str, Any]
) -> None:
    await wipe(database)
    await database.write(write, unit)
    rows = await verify(database)
    row = rows[place % len(rows)]
    name, value = changed
    value = tampered(row, name, value)

    def tamper(connection: Connection, rows: Sequence[Any]) -> Sequence[Any]:
        key = (tables.audit.c.chain == row["chain"], tables.audit.c.seq == row["seq"])
        connection.execute(update(tables.audit).where(*key).values({name: value}))
        return rows

    await database.write(tamper, None)
    (chain,) = await stored(database, tables.audit_chains)
    after = sorted(await stored(database, tables.audit), key=lambda one: rank(row, name, one))
    expected = place % len(rows) if value != row[name] else None
    assert broken_at(chain, after) == expected


def tampered(row: Row, name: str, value: Any) -> Any:
    """The forged value; of times and places, one that no other row has."""
    if name == "at":
        return row["at"] + value
    if name == "seq":
        return row["seq"] + 100 * value
    return json.dumps(value, separators=(",", ":")) if name == "details" else value


def rank(row: Row, name: str, one: Row) -> int:
    """A row's place before it was moved."""
    moved = name == "seq" and one["seq"] > 100
    return int(row["seq"] if moved else one["seq"])


async def test_a_missing_row_breaks_the_chain_where_it_was(database: Database) -> None:
    await database.write(write, [Entry("zekt:test:wrote", str(n)) for n in range(5)])
    ((chain, rows),) = await chains(database)
    for missing in range(4):
        assert broken_at(chain, rows[:missing] + rows[missing + 1 :]) == missing
    assert chain["head_hash"] != rows[3]["hash"], "a lost last row shows at the head"


async def test_an_entry_cannot_be_written_over(database: Database) -> None:
    await database.write(write, [ENTRY])
    (row,) = await stored(database, tables.audit)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await database.write(put, (tables.audit, [dict(row)]))
    assert isinstance(row["at"], datetime)
