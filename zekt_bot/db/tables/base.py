"""What every table stands on: the metadata, ids, and the index of rows that wait for time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Index, MetaData, String

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, TextClause

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = String(40)


def id_column(name: str = "id") -> Column[str]:
    """An id of ours (`domain/ids.py`) as primary key."""
    return Column(name, ID, primary_key=True)


def due(table: str) -> Index:
    """Only rows that wait for time stand in this index, so finished ones cost nothing."""
    due_at = metadata.tables[table].c.due_at
    return partial(f"ix_{table}_due", due_at.is_not(None), due_at)


def partial(name: str, where: ColumnElement[bool] | TextClause, *columns: Column[Any]) -> Index:
    """An index of the rows that fit `where` alone, on both databases."""
    return Index(name, *columns, sqlite_where=where, postgresql_where=where)
