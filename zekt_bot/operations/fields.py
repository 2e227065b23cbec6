"""Reading GitHub's JSON leniently, but never absurdities: each reader names what it missed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from zekt_bot.errors import MalformedEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST = 2**63 - 1
_YEARS = range(2007, 2200)  # GitHub's first, and far enough


def part(body: Any, name: str) -> dict[str, Any]:
    """The object `name` in `body`."""
    found = body.get(name) if isinstance(body, dict) else None
    if not isinstance(found, dict):
        raise MalformedEvent(f"{name} is not an object")
    return found


def optional_part(body: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The object `name` in `body`; None where GitHub left it out."""
    return part(body, name) if body.get(name) is not None else None


def number(body: dict[str, Any], name: str) -> int:
    """A positive 64-bit integer."""
    found = body.get(name)
    if type(found) is not int or not 0 < found <= _MOST:  # True is no number
        raise MalformedEvent(f"{name} is not a positive 64-bit integer")
    return found


def text(body: dict[str, Any], name: str, most: int = 1000) -> str:
    """A text of at most `most` characters. NUL, which PostgreSQL refuses, becomes U+FFFD."""
    found = body.get(name)
    if not isinstance(found, str):
        raise MalformedEvent(f"{name} is not a text")
    if len(found) > most:
        raise MalformedEvent(f"{name} has {len(found)} characters, more than {most}")
    return found.replace("\0", "\ufffd")


def optional_text(body: dict[str, Any], name: str, most: int = 1000) -> str | None:
    """A text, or None where GitHub left it out."""
    return text(body, name, most) if body.get(name) is not None else None


def moment(body: dict[str, Any], name: str) -> datetime:
    """A time as GitHub writes it: ISO 8601, or seconds since 1970."""
    found = body.get(name)
    try:
        if type(found) is int:
            when = datetime.fromtimestamp(found, UTC)
        else:
            when = datetime.fromisoformat(str(found)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise MalformedEvent(f"{name} is not a time") from None
    if when.year not in _YEARS:
        raise MalformedEvent(f"{name} lies in the year {when.year}")
    return when


def optional_moment(body: dict[str, Any], name: str) -> datetime | None:
    """A time, or None where GitHub left it out."""
    return moment(body, name) if body.get(name) is not None else None
