"""Small pieces of SQL that differ between SQLite and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Table
    from sqlalchemy.sql.compiler import SQLCompiler

Id = TypeVar("Id", int, str)

_PAGE = 1000
_MOST_PARAMETERS = 32_000  # a statement: PostgreSQL takes 32,767, SQLite 32,766


class among(FunctionElement[Any]):  # noqa: N801
    """Whether a column is one of what a correlated subquery finds: `among(column, subquery)`.

    PostgreSQL would answer IN for every row of the column's table; of an array it asks the index.
    """

    inherit_cache = True


@compiles(among)
def _in(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, found = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN {found}"


@compiles(among, "postgresql")
def _any(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, found = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY (ARRAY{found})"


def in_pages(ids: Iterable[Id]) -> Iterator[list[Id]]:
    """`ids` in lists that an IN can hold: PostgreSQL takes 32,767 parameters a statement."""
    left = list(ids)
    for start in range(0, len(left), _PAGE):
        yield left[start : start + _PAGE]


def _insert(connection: Connection, table: Table) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose keys are not there yet, as few statements as can be; how many were.

    All rows have the first one's columns.
    """
    if not rows:
        return 0
    page = _MOST_PARAMETERS // len(rows[0])
    statement = _insert(connection, table).on_conflict_do_nothing()
    return sum(
        int(connection.execute(statement.values(list(rows[start : start + page]))).rowcount)
        for start in range(0, len(rows), page)
    )


def upsert(
    connection: Connection, table: Table, row: Mapping[str, Any], changed: Sequence[str]
) -> None:
    """Insert `row`, or set the `changed` columns of the row that has its primary key."""
    statement = _insert(connection, table).values(row)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: statement.excluded[name] for name in changed},
        )
    )
