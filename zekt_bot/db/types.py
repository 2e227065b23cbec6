"""Column types of our own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, DateTime, TypeDecorator

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Dialect
    from sqlalchemy.types import TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MEANINGLESS = "a time without a zone cannot be stored"


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def _counted(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError(_MEANINGLESS)
    return (moment - _EPOCH) // _MICROSECOND


def _aware(moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise ValueError(_MEANINGLESS)
    return moment


def _moment(count: int | None) -> datetime | None:
    return None if count is None else _EPOCH + count * _MICROSECOND


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC moment: timestamptz on PostgreSQL, integer microseconds on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(DateTime(timezone=True))

    # Itself, not process_bind_param: SQLAlchemy would put a function of its own around that.
    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any]:
        """How a moment is stored."""
        return _counted if dialect.name == "sqlite" else _aware

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[int | None], datetime | None] | None:
        """How one is read; asyncpg gives aware times in UTC by itself."""
        return _moment if dialect.name == "sqlite" else None
