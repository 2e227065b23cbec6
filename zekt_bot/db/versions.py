"""A decision is applied only to the facts it was made on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, Text, cast, literal, select, union_all

from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import one_of
from zekt_bot.db.tables import runs
from zekt_bot.domain.events import RunKey

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Select

    Read = Mapping[Table, Mapping[Any, int]]  # id → version, of each table that was read


@cache
def _held(table: Table, *, to_change: bool) -> Prepared:
    return Prepared(_locking(table, "ids", to_change=to_change))


def _locking(table: Table, ids: str, *, to_change: bool) -> Select[Any]:
    """Their versions; every unit locks the rows of a table in the same order."""
    found = select(table.c.id, table.c.version).where(one_of(table.c.id, ids))
    return found.order_by(*in_order(table)).with_for_update(read=not to_change)


def in_order(table: Table) -> list[ColumnElement[Any]]:
    """By what every unit locks the rows of a table one after the other."""
    return [table.c[name] for name in RunKey._fields] if table is runs else [table.c.id]


@cache
def _all(read: tuple[Table, ...], to_change: Table | None) -> Prepared:
    """All tables in one statement, which locks them one after the other."""
    mine = [
        _locking(table, table.name, to_change=table is to_change).subquery(f"held_{table.name}")
        for table in read
    ]
    rows = [
        select(literal(table.name).label("of"), cast(each.c.id, Text).label("id"), each.c.version)
        for table, each in zip(read, mine, strict=True)
    ]
    return Prepared(union_all(*rows))


def stand(
    connection: Connection, read: Sequence[Read], *, to_change: Table | None = None
) -> list[bool]:
    """Of each decision whether all rows that it was made on still have these versions.

    They stay so until this transaction ends. All name the same tables, in the order in which they
    are locked; `to_change`: the one whose rows nobody else may hold either.
    """
    tables = tuple(read[0])
    ids = {table.name: set().union(*(each[table] for each in read)) for table in tables}
    there = set(map(tuple, _all(tables, to_change).run(connection, ids).tuples()))
    return [
        there.issuperset(
            (table.name, str(row_id), version)
            for table, rows in each.items()
            for row_id, version in rows.items()
        )
        for each in read
    ]


def held(
    connection: Connection, table: Table, ids: Collection[Any], *, to_change: bool = False
) -> dict[Any, int]:
    """The present versions of these rows, which stay so until this transaction ends.

    `to_change` them oneself, and nobody else may hold them either.
    """
    if not ids:
        return {}
    return dict(_held(table, to_change=to_change).run(connection, {"ids": ids}).tuples())


def hold(
    connection: Connection, table: Table, read: Mapping[Any, int | None], *, to_change: bool = False
) -> bool:
    """Whether every row of `read` (id → version; None: there was none) still has that version.

    They are held, as `held` does.
    """
    there = {each: version for each, version in read.items() if version is not None}
    return held(connection, table, read.keys(), to_change=to_change) == there
