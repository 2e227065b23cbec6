"""Which rows of a list are wanted: a page of it, newest first, and filters that let less through.

A filter's None lets everything through. Names are as people write them: OWNER/REPO, OWNER/SLUG.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.domain.deliveries import DeliveryState

MOST_ROWS = 1000
_AUDIT_ID = re.compile(r"([a-z0-9-]{1,40}):([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Page:
    """At most `limit` rows, those older than the row `before`."""

    limit: int = 50
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """From `since`, and before `until`; None: as far as there is."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class EventFilter:
    """`workflow`: its path, its file's name or its own name. `blocked`: only what went nowhere."""

    repository: str | None = None
    workflow: str | None = None
    conclusion: str | None = None
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """`repository` is the consumer."""

    state: DeliveryState | None = None
    service: str | None = None
    repository: str | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class RepositoryFilter:
    """`owner` is a login. `part`: only those that are enabled as this."""

    owner: str | None = None
    part: Literal["provider", "consumer"] | None = None


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """`repository` is the provider, whose run sent it."""

    repository: str | None = None
    event_type: str | None = None
    correlation_id: str | None = None


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """In `actor` and `verb` a star stands for any part. From `since`, and before `until`."""

    actor: str | None = None
    verb: str | None = None
    account: str | None = None
    repository: str | None = None
    correlation_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def check_page(page: Page, prefix: str) -> Page:
    """Return a page of rows whose ids begin with `prefix`, or raise InvalidInput."""
    check_limit(page)
    if page.before is not None and not re.fullmatch(rf"{prefix}_[0-9a-z]{{26}}", page.before):
        raise InvalidInput(f"{page.before[:80]!r} is no id of this list: take its last one.")
    return page


def check_limit(page: Page) -> None:
    """Raise InvalidInput if a page has no rows, or too many."""
    if not 1 <= page.limit <= MOST_ROWS:
        raise InvalidInput(f"A list shows 1 to {MOST_ROWS} rows.")


def audit_key(entry_id: str) -> tuple[str, int]:
    """Chain and number of an audit entry's id (`CHAIN:NUMBER`), or raise InvalidInput."""
    match = _AUDIT_ID.fullmatch(entry_id)
    if not match:
        raise InvalidInput(f"{entry_id[:80]!r} is no id of an audit entry: see `zekt audit list`.")
    return match.group(1), int(match.group(2))
