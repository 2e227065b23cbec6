"""Each test opens engines of its own, all alike: what one has compiled serves the others."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

_MOST = 5000


class _Shared:
    """In the place of each engine's own cache, whose keys begin with the engine's dialect."""

    cache: LRUCache[Any, Any] = LRUCache(_MOST)

    def __get__(self, engine: object, owner: object = None) -> LRUCache[Any, Any]:
        return self.cache

    def __set__(self, engine: object, own: object) -> None:
        """An engine begins with an empty one: it is not needed."""


def share() -> None:
    """Compiling the same statements a test anew would take a quarter of all tests' time."""
    Engine._compiled_cache = _Shared()  # type: ignore[assignment]
    for dialect in (PGDialect_asyncpg, SQLiteDialect_pysqlite):
        dialect.__eq__ = _alike  # type: ignore[method-assign]
        dialect.__hash__ = _by_kind  # type: ignore[assignment,method-assign]


def _alike(one: object, other: object) -> bool:
    return type(one) is type(other)


def _by_kind(dialect: object) -> int:
    return hash(type(dialect))
