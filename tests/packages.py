"""Each test opens a broker of its own: the packages on the path are searched once for all."""

from __future__ import annotations

import functools
import sys
from importlib.metadata import EntryPoints, entry_points

from zekt_bot.plugins import loading


@functools.cache
def _found(path: tuple[str, ...], group: str) -> EntryPoints:
    return entry_points(group=group)


def share() -> None:
    """Reading the metadata of all packages takes half of the time of loading plugins."""
    loading.entry_points = _entry_points  # type: ignore[assignment,attr-defined]


def _entry_points(*, group: str) -> EntryPoints:
    return _found(tuple(sys.path), group)
