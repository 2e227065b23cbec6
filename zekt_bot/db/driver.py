"""How a statement whose text is known reaches the driver, and how its errors are told.

On SQLite by a cursor. On PostgreSQL by asyncpg's own methods: SQLAlchemy's cursor over them takes
as long again for every round trip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy import Connection

Outcome = TypeVar("Outcome")

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

    def by_cursor(cursor: Any) -> Answer:
        cursor.execute(text, values)
        return Answer(cursor.fetchall() if answers else (), cursor.rowcount)

    async def by_asyncpg(raw: Any) -> Answer:
        if answers:
            rows = await raw.fetch(text, *values)
            return Answer(rows, len(rows))
        return Answer((), _count(await raw.execute(text, *values)))

    return _sent(connection, text, by_cursor, by_asyncpg)


def send_all(connection: Connection, text: str, rows: Sequence[Sequence[Any]]) -> int:
    """Run a statement once a row, sent together; how many it changed, or -1. Raises as `send`."""

    def by_cursor(cursor: Any) -> int:
        cursor.executemany(text, rows)
        count: int = cursor.rowcount
        return count

    async def by_asyncpg(raw: Any) -> int:
        await raw.executemany(text, rows)
        return -1

    return _sent(connection, text, by_cursor, by_asyncpg)


def kinds(connection: Connection, text: str, columns: int) -> Sequence[int | None]:
    """As what the driver gives each column of a statement's rows. Raises as `send`."""

    async def by_asyncpg(raw: Any) -> list[int | None]:
        return [each.type.oid for each in (await raw.prepare(text)).get_attributes()]

    return _sent(connection, text, lambda _: [None] * columns, by_asyncpg)


def command(connection: Connection, text: str) -> None:
    """Run what has no parameters and answers nothing, such as BEGIN. Raises as `send`."""
    send(connection, text, (), answers=False)


def _sent(
    connection: Connection,
    text: str,
    by_cursor: Callable[[Any], Outcome],
    by_asyncpg: Callable[[Any], Awaitable[Outcome]],
) -> Outcome:
    held: Any = connection.connection.dbapi_connection
    try:
        if connection.dialect.is_async:
            outcome: Outcome = held.run_async(by_asyncpg)
            return outcome
        cursor = held.cursor()
        try:
            return by_cursor(cursor)
        finally:
            cursor.close()
    except Exception as error:
        told = _told(connection, error, text)
        if told is None:
            raise
        raise told from error
    except BaseException as error:  # cancelled amid a statement: its answer may come
        connection.invalidate(error)
        raise


def _count(status: str) -> int:
    """`INSERT 0 3` is three."""
    last = status.rpartition(" ")[2]
    return int(last) if last.isdecimal() else -1


def _told(connection: Connection, error: Exception, text: str) -> Exception | None:
    """The error as SQLAlchemy tells it, None: it is none of the database's.

    A connection that is lost is given up.
    """
    dialect = connection.dialect
    dbapi: Any = dialect.loaded_dbapi
    if not isinstance(error, dbapi.Error):
        name = next((name for kind, name in _ASYNCPG if isinstance(error, kind)), None)
        if name is None:
            return None
        error = getattr(dbapi, name)(str(error), error)
    lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)  # type: ignore[arg-type]
    if lost:
        connection.invalidate(error)
    told: Exception = DBAPIError.instance(
        text,
        None,
        error,
        dbapi.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=dialect,
    )
    return told
