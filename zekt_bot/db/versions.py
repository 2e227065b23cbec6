"""A decision is applied only to the facts it was made on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Table, select

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sqlalchemy import Connection


def hold(
    connection: Connection, table: Table, read: Mapping[Any, int | None], *, to_change: bool = False
) -> bool:
    """Whether every row of `read` (id → version; None: there was none) still has that version.

    The rows stay locked against change until this transaction ends; `to_change` them oneself, and
    nobody else may hold them either.
    """
    if not read:
        return True
    rows = connection.execute(
        select(table.c.id, table.c.version)
        .where(table.c.id.in_(list(read)))
        .order_by(table.c.id)
        .with_for_update(read=not to_change)
    )
    there = {each: version for each, version in read.items() if version is not None}
    return {row.id: row.version for row in rows} == there
