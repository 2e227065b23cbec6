"""A decision is applied only to the facts it was made on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Table, select

from zekt_bot.db.prepared import Prepared
from zekt_bot.db.sql import one_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from sqlalchemy import Connection, Select


@cache
def _held(table: Table, *, to_change: bool) -> Prepared:
    in_order = _with_version(table).order_by(table.c.id)
    return Prepared(in_order.with_for_update(read=not to_change))


def _with_version(table: Table) -> Select[Any]:
    return select(table.c.id, table.c.version).where(one_of(table.c.id, "ids"))


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
