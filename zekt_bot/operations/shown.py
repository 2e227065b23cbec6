"""Rows as operations show them: no lease, no sealed bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HIDDEN = ("lease", "due_at")


def shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row without what only the worker needs, and without what is sealed."""
    return {
        str(name): value
        for name, value in row.items()
        if name not in _HIDDEN and not isinstance(value, bytes)
    }


def all_shown(rows: Iterable[Mapping[Any, Any]]) -> list[dict[str, Any]]:
    """Each row, shown."""
    return [shown(row) for row in rows]
