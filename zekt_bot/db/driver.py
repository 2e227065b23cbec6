"""How a statement whose text is known reaches the driver, and how its errors are told.

On SQLite by its connection, on PostgreSQL by asyncpg's own methods: SQLAlchemy's cursor over them
takes as long again for every round trip.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

# The first that fits; what is none of them is no error of the database's.
_ASYNCPG: tuple[tuple[type[Exception], str], ...] = (
    (asyncpg.IntegrityConstraintViolationError, "IntegrityError"),
    (asyncpg.SyntaxOrAccessError, "ProgrammingError"),
    (asyncpg.InterfaceError, "InterfaceError"),
    (asyncpg.PostgresError, "Error"),
    (asyncpg.InternalClientError, "InternalClientError"),
)


class Answer(NamedTuple):
    """Rows, and how many were changed; -1 where the driver does not say."""

    rows: Sequence[Sequence[Any]]
    changed: int


def send(connection: Connection, text: str, values: Sequence[Any], *, answers: bool) -> Answer:
    """Run a statement; `answers`: it has rows to give.

    Raises:
        DBAPIError: as SQLAlchemy's own, without the parameters.
    """
    held: Any = connection.connection.dbapi_connection
    try:
        if connection.dialect.is_async:
            of_asyncpg: Answer = held.run_async(partial(_by_asyncpg, text, values, answers))
            return of_asyncpg
        cursor = held.execute(text, values)
        return Answer(cursor.fetchall() if answers else (), cursor.rowcount)
    except BaseException as error:
        _raise_told(connection, error, text)
        raise


def send_all(connection: Connection, text: str, rows: Sequence[Sequence[Any]]) -> int:
    """Run a statement once a row, sent together; how many it changed, or -1. Raises as `send`."""
    held: Any = connection.connection.dbapi_connection
    try:
        if connection.dialect.is_async:
            held.run_async(lambda raw: raw.executemany(text, rows))
            return -1
        count: int = held.executemany(text, rows).rowcount
    except BaseException as error:
        _raise_told(connection, error, text)
        raise
    return count


def kinds(connection: Connection, text: str, columns: int) -> Sequence[int | None]:
    """As what the driver gives each column of a statement's rows. Raises as `send`."""
    if not connection.dialect.is_async:
        return [None] * columns
    held: Any = connection.connection.dbapi_connection
    try:
        prepared = held.run_async(lambda raw: raw.prepare(text))
        return [each.type.oid for each in prepared.get_attributes()]
    except BaseException as error:
        _raise_told(connection, error, text)
        raise


def command(connection: Connection, text: str) -> None:
    """Run what has no parameters and answers nothing, such as BEGIN. Raises as `send`."""
    send(connection, text, (), answers=False)


async def _by_asyncpg(text: str, values: Sequence[Any], answers: bool, raw: Any) -> Answer:
    if answers:
        rows = await raw.fetch(text, *values)
        return Answer(rows, len(rows))
    return Answer((), _count(await raw.execute(text, *values)))


def _count(status: str) -> int:
    """`INSERT 0 3` is three."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdecimal() else -1


def _raise_told(connection: Connection, error: BaseException, text: str) -> None:
    """Raise it as SQLAlchemy tells it, unless it is none of the database's.

    A connection that is lost is given up, and one that was cancelled amid a statement: its answer
    may come.
    """
    if not isinstance(error, Exception):
        connection.invalidate(error)
        return
    dialect = connection.dialect
    dbapi: Any = dialect.loaded_dbapi
    of_dbapi = error
    if not isinstance(error, dbapi.Error):
        name = next((name for kind, name in _ASYNCPG if isinstance(error, kind)), None)
        if name is None:
            return
        of_dbapi = getattr(dbapi, name)(str(error), error)
    lost = dialect.is_disconnect(of_dbapi, connection.connection.dbapi_connection, None)  # type: ignore[arg-type]
    if lost:
        connection.invalidate(of_dbapi)
    told: Exception = DBAPIError.instance(
        text,
        None,
        of_dbapi,
        dbapi.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=dialect,
    )
    raise told from error
