"""What a connection sends, heard at the driver: sqlite3, its cursor, and asyncpg's own methods."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection


class Sent(NamedTuple):
    """A statement and its parameters; of several rows, the first one's."""

    text: str
    parameters: tuple[Any, ...]


class _Cursor:
    def __init__(self, inner: Any, heard: Callable[[Sent], None]) -> None:
        self._inner, self._heard = inner, heard

    def execute(self, text: str, parameters: Any = ()) -> Any:
        answer = self._inner.execute(text, parameters)
        self._heard(Sent(text, tuple(parameters)))
        return answer

    def executemany(self, text: str, rows: Any) -> Any:
        answer = self._inner.executemany(text, rows)
        self._heard(Sent(text, tuple(rows[0])))
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._inner)


class _Asyncpg:
    def __init__(self, inner: Any, heard: Callable[[Sent], None]) -> None:
        self._inner, self._heard = inner, heard

    async def fetch(self, text: str, *values: Any) -> Any:
        answer = await self._inner.fetch(text, *values)
        self._heard(Sent(text, values))
        return answer

    async def execute(self, text: str, *values: Any) -> Any:
        answer = await self._inner.execute(text, *values)
        self._heard(Sent(text, values))
        return answer

    async def executemany(self, text: str, rows: Any) -> Any:
        answer = await self._inner.executemany(text, rows)
        self._heard(Sent(text, tuple(rows[0])))
        return answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Wire:
    """A driver's connection which tells what it has sent."""

    def __init__(self, inner: Any, heard: Callable[[Sent], None]) -> None:
        self.inner, self._heard = inner, heard

    def cursor(self, *how: Any, **more: Any) -> _Cursor:
        return _Cursor(self.inner.cursor(*how, **more), self._heard)

    def execute(self, text: str, parameters: Any = ()) -> Any:
        return self.cursor().execute(text, parameters)

    def executemany(self, text: str, rows: Any) -> Any:
        return self.cursor().executemany(text, rows)

    def run_async(self, work: Callable[[Any], Any]) -> Any:
        return self.inner.run_async(lambda raw: work(_Asyncpg(raw, self._heard)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@contextmanager
def hearing(connection: Connection) -> Iterator[list[Sent]]:
    """The statements that are sent on this connection meanwhile, exactly as they are sent."""
    sent: list[Sent] = []
    held: Any = connection.connection
    held.dbapi_connection = Wire(held.dbapi_connection, sent.append)
    try:
        yield sent
    finally:
        held.dbapi_connection = held.dbapi_connection.inner
