"""Small pieces of SQL that differ between SQLite and PostgreSQL."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from sqlalchemy import BigInteger, String, Text, TypeDecorator, bindparam, type_coerce
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from zekt_bot.db.prepared import Prepared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Dialect, ScalarSelect, Table
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.types import TypeEngine

Id = TypeVar("Id", int, str)

_PAGE = 1000


class _ListOf(TypeDecorator[Any]):
    """A list in one parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: type[TypeEngine[Any]]) -> None:
        """`item` is the type of what is in it."""
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the parameter's type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text())
        return dialect.type_descriptor(postgresql.ARRAY(self.item))

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any]:
        """How any collection is packed."""
        return _as_json if dialect.name == "sqlite" else list

    def result_processor(self, dialect: Dialect, _code: object) -> Callable[[Any], Any] | None:
        """How it is unpacked."""
        return orjson.loads if dialect.name == "sqlite" else None


def _as_json(values: Iterable[Any]) -> str:
    return orjson.dumps(list(values)).decode()


class _one_of(FunctionElement[bool]):  # noqa: N801
    inherit_cache = True


@compiles(_one_of)
def _in_json(element: _one_of, compiler: SQLCompiler, **options: Any) -> str:
    column, listed = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({listed}))"  # noqa: S608 - both are ours


@compiles(_one_of, "postgresql")
def _in_array(element: _one_of, compiler: SQLCompiler, **options: Any) -> str:
    column, listed = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY ({listed})"


_ITEMS: dict[type[TypeEngine[Any]], type[TypeEngine[Any]]] = {BigInteger: BigInteger, String: Text}


def one_of(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """Whether a column is one of the parameter `name`, a collection.

    The statement is the same for any number of them: neither SQLAlchemy nor the database reads it
    anew, as for an IN with a parameter each.

    Raises:
        TypeError: the column holds neither big numbers nor text.
    """
    for kind, item in _ITEMS.items():
        if isinstance(column.type, kind):
            return _one_of(column, bindparam(name, type_=_ListOf(item)))
    raise TypeError(f"one_of does not know lists of {column.type!r} ({column}).")


class _rows_of(FunctionElement[bool]):  # noqa: N801
    inherit_cache = True


@compiles(_rows_of)
def _in_json_rows(element: _rows_of, compiler: SQLCompiler, **options: Any) -> str:
    *columns, listed = (compiler.process(each, **options) for each in element.clauses)
    parts = ", ".join(f"json_extract(value, '$[{n}]')" for n in range(len(columns)))
    return f"({', '.join(columns)}) IN (SELECT {parts} FROM json_each({listed}))"  # noqa: S608


@compiles(_rows_of, "postgresql")
def _in_jsonb_rows(element: _rows_of, compiler: SQLCompiler, **options: Any) -> str:
    *keys, listed = element.clauses
    types = [each.type.compile(compiler.dialect) for each in keys]
    parts = ", ".join(f"CAST(value ->> {n} AS {name})" for n, name in enumerate(types))
    columns = ", ".join(compiler.process(each, **options) for each in keys)
    rows = f"SELECT jsonb_array_elements(CAST({compiler.process(listed, **options)} AS jsonb))"
    # Of an array PostgreSQL expects ten rows and asks the index, of a function a hundred.
    return f"({columns}) IN (SELECT {parts} FROM unnest(ARRAY({rows})) AS value)"  # noqa: S608


class _Json(TypeDecorator[Any]):
    """Any collection of tuples, as JSON."""

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], str]:
        """How it is packed."""
        return _rows_as_json


def _rows_as_json(rows: Iterable[Iterable[Any]]) -> str:
    return orjson.dumps([tuple(row) for row in rows]).decode()


def rows_of(columns: Sequence[ColumnElement[Any]], name: str) -> ColumnElement[bool]:
    """Whether these columns are one of the parameter `name`, a collection of tuples (`one_of`)."""
    return _rows_of(*columns, bindparam(name, type_=_Json()))


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


class _listed(FunctionElement[Any]):  # noqa: N801
    inherit_cache = True


@compiles(_listed)
def _json_list(element: _listed, compiler: SQLCompiler, **options: Any) -> str:
    (found,) = (compiler.process(each, **options) for each in element.clauses)
    return f"(SELECT json_group_array(id) FROM {found})"  # noqa: S608 - it is ours


@compiles(_listed, "postgresql")
def _array(element: _listed, compiler: SQLCompiler, **options: Any) -> str:
    (found,) = (compiler.process(each, **options) for each in element.clauses)
    return f"ARRAY{found}"


def listed(found: ScalarSelect[str]) -> ColumnElement[list[str]]:
    """The ids that a subquery finds, in its order, as one column."""
    return type_coerce(_listed(found), _ListOf(String))


def in_pages(ids: Iterable[Id]) -> Iterator[list[Id]]:
    """`ids` in lists that an IN can hold: PostgreSQL takes 32,767 parameters a statement."""
    left = list(ids)
    for start in range(0, len(left), _PAGE):
        yield left[start : start + _PAGE]


@cache
def inserting(table: Table, dialect: str) -> Any:
    """The dialect's own INSERT, which knows ON CONFLICT."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


@cache
def inserting_new(table: Table, dialect: str) -> Prepared:
    """Inserts a row whose key is not there yet."""
    return Prepared(inserting(table, dialect).on_conflict_do_nothing())


def insert_if_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert a row; False: its key is there already."""
    return bool(inserting_new(table, connection.dialect.name).run(connection, row).rowcount)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert the rows whose keys are not there yet. All have the first one's columns.

    How many those were; -1 where the driver does not say.
    """
    if not rows:
        return 0
    # One statement a row, sent together: SQLAlchemy would compile VALUES of many each time.
    return inserting_new(table, connection.dialect.name).run_all(connection, rows)


def upsert(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], changed: Sequence[str]
) -> None:
    """Insert the rows, or set the `changed` columns of those that have their primary keys."""
    if rows:
        _upsert(table, connection.dialect.name, tuple(changed)).run_all(connection, rows)


@cache
def _upsert(table: Table, dialect: str, changed: tuple[str, ...]) -> Prepared:
    statement = inserting(table, dialect)
    return Prepared(
        statement.on_conflict_do_update(
            index_elements=list(table.primary_key.columns),
            set_={name: statement.excluded[name] for name in changed},
        )
    )
