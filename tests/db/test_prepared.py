"""Prepared statements answer as SQLAlchemy does, and fail as it does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    Float,
    Integer,
    bindparam,
    create_engine,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from tests.db.rows import inbox_row
from tests.db.statements import hearing
from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import one_of
from zekt_bot.db.tables import chores, inbox, lanes, metadata, principals
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.database import Database

_ALL = select(inbox).order_by(inbox.c.id)
_WHOLE = Prepared(_ALL)
_INSERT = Prepared(insert(inbox))
_SOME = Prepared(select(inbox.c.id, inbox.c.received_at).where(one_of(inbox.c.id, "ids")))
_BACKEND = Prepared(select(func.pg_backend_pid(type_=Integer)))
_COUNT = Prepared(select(func.count()).select_from(inbox))
_LATER = Prepared(
    update(inbox)
    .where(inbox.c.id == bindparam("own"))
    .values(received_at=bindparam("moment"), failures=inbox.c.failures + 1)
    .returning(inbox.c.id, inbox.c.failures)
)


def told(connection: Connection, _: Sequence[None]) -> list[Any]:
    return [(list(connection.execute(_ALL).mappings()), _WHOLE.run(connection).mappings())]


def put(connection: Connection, given: Sequence[list[dict[str, Any]]]) -> list[int]:
    return [_INSERT.run_all(connection, rows) for rows in given]


async def test_rows_are_those_that_sqlalchemy_gives(database: Database) -> None:
    await database.write(put, [inbox_row(n) for n in range(3)])
    by_sqlalchemy, prepared = await database.write(told, None)
    assert prepared == [dict(row) for row in by_sqlalchemy]
    assert len(prepared) == 3
    assert prepared[0]["received_at"].tzinfo is UTC
    assert prepared[0]["observed"] is False


async def test_numbers_with_a_point_come_back_as_they_were(database: Database) -> None:
    every = Prepared(select(lanes.c.tokens, lanes.c.per_minute))

    def work(connection: Connection, _: Sequence[None]) -> list[Any]:
        added = {"name": "github:1", "tokens": 2.5, "refilled_at": START}
        Prepared(insert(lanes)).run(connection, added)
        return [every.run(connection).one()]

    assert await database.write(work, None) == (2.5, None)


async def test_what_is_found_can_be_taken_in_every_form(database: Database) -> None:
    rows = [inbox_row(n) for n in range(2)]
    await database.write(put, rows)
    first, second = (row["id"] for row in rows)

    def work(connection: Connection, _: Sequence[None]) -> list[None]:
        found = _SOME.run(connection, {"ids": [first]})
        assert found.one().id == found.first().id == found.scalar() == found.scalar_one() == first
        assert found.scalars() == [row.id for row in found] == [first]
        assert [tuple(row) for row in found.tuples()] == found.all()
        nothing = _SOME.run(connection, {"ids": []})
        assert nothing.first() is nothing.scalar() is None
        assert nothing.all() == nothing.mappings() == nothing.scalars() == []
        with pytest.raises(ValueError, match="unpack"):
            nothing.one()
        both = _SOME.run(connection, {"ids": {first, second}})
        with pytest.raises(ValueError, match="unpack"):
            both.scalar_one()
        assert _COUNT.run(connection).scalar_one() == 2
        return [None]

    await database.write(work, None)


async def test_a_change_answers_what_it_returns_and_how_many_rows_it_changed(
    database: Database,
) -> None:
    rows = [inbox_row(n) for n in range(3)]
    await database.write(put, rows)
    gone = Prepared(delete(inbox).where(one_of(inbox.c.id, "ids")))

    def work(connection: Connection, _: Sequence[None]) -> list[Any]:
        changed = _LATER.run(connection, {"own": rows[1]["id"], "moment": START}).all()
        return [(changed, gone.run(connection, {"ids": [rows[0]["id"], "none"]}).rowcount)]

    assert await database.write(work, None) == ([(rows[1]["id"], 1)], 1)


async def test_an_error_is_sqlalchemys_and_tells_no_parameters(database: Database) -> None:
    row = inbox_row(1) | {"guid": "not to be told"}
    await database.write(put, [row])
    with pytest.raises(IntegrityError) as caught:
        await database.write(put, [row])
    assert "not to be told" not in str(caught.value)
    assert await database.write(told, None)


async def test_a_missing_parameter_is_named(database: Database) -> None:
    def work(connection: Connection, _: Sequence[None]) -> list[Any]:
        return [_SOME.run(connection)]

    with pytest.raises(KeyError, match="ids"):
        await database.write(work, None)


async def test_a_column_that_is_not_there_is_named(database: Database) -> None:
    one = update(chores).where(chores.c.name == bindparam("own"))
    with pytest.raises(TypeError, match="due_att"):
        await database.query(
            Prepared(one, sets=True).run, {"own": "a", "due_at": START, "due_att": START}
        )


async def test_a_statement_that_is_not_always_the_same_is_refused(database: Database) -> None:
    changing = Prepared(select(inbox.c.id).where(inbox.c.state.in_(("pending", "processed"))))

    def work(connection: Connection, _: Sequence[None]) -> list[Any]:
        return [changing.run(connection)]

    with pytest.raises(TypeError, match="one_of"):
        await database.write(work, None)


async def test_its_text_is_what_sqlalchemy_sends(database: Database) -> None:
    def work(connection: Connection, _: Sequence[None]) -> list[Any]:
        with hearing(connection) as by_sqlalchemy:
            connection.execute(_ALL).all()
        with hearing(connection) as prepared:
            _WHOLE.run(connection)
        return [([each.text for each in by_sqlalchemy], [each.text for each in prepared])]

    by_sqlalchemy, prepared = await database.write(work, None)
    assert by_sqlalchemy == prepared


async def test_a_connection_that_was_given_up_amid_a_statement_is_used_no_more(
    postgres: Database,
) -> None:
    sleep = Prepared(select(func.pg_sleep(bindparam("seconds", type_=Float))))
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait(connection: Connection) -> None:
        backends.add(_BACKEND.run(connection).scalar_one())
        loop.call_soon(begun.set)
        sleep.run(connection, {"seconds": 600})

    def who(connection: Connection) -> int:
        number: int = _BACKEND.run(connection).scalar_one()
        return number

    backends: set[int] = set()
    waiting = asyncio.create_task(postgres.query(wait))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    asked = await asyncio.gather(*(postgres.query(who) for _ in range(20)))
    assert backends.isdisjoint(asked)


@given(st.lists(st.tuples(st.text(), st.datetimes(timezones=st.just(UTC))), max_size=5))
def test_whatever_is_put_in_comes_back(told: list[tuple[str, datetime]]) -> None:
    engine = create_engine("sqlite://")
    metadata.create_all(engine, [principals])
    rows = [
        {
            "id": str(n),
            "name": name.replace("\0", "").encode(errors="ignore").decode(),
            "first_seen_at": at,
        }
        for n, (name, at) in enumerate(told)
    ]
    with engine.begin() as connection:
        if rows:
            Prepared(insert(principals)).run_all(connection, rows)
        found = Prepared(select(principals).order_by(principals.c.id)).run(connection)
    assert found.mappings() == rows
    engine.dispose()
