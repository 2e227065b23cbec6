"""Reading events and deliveries: lists, and all that happened to one delivery."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.db import lists
from zekt_bot.domain.access import decide
from zekt_bot.domain.deliveries import STATES
from zekt_bot.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

MOST_ROWS = 1000
_HIDDEN = ("lease", "due_at")
_ID = re.compile(r"(run|dlv)_[0-9a-z]{26}")


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a list: at most `limit`, older than the row `before`, in this state."""

    limit: int = 50
    before: str | None = None
    state: str | None = None


async def list_events(broker: Broker, principal: Principal, page: Page) -> list[dict[str, Any]]:
    """Finished runs, newest first.

    Raises:
        AccessDenied, InvalidInput, StorageUnavailable.
    """
    decide(principal, "event:read")
    _check(page)
    rows = await broker.database.query(lists.events, page.limit, page.before)
    return [_shown(row) for row in rows]


async def show_event(broker: Broker, principal: Principal, event_id: str) -> dict[str, Any]:
    """One run, by its id, correlation id or an event id of it.

    With its `jobs`, `messages` and `deliveries`.

    Raises:
        AccessDenied, NotFound, StorageUnavailable.
    """
    decide(principal, "event:read")
    found = await broker.database.query(lists.event, event_id)
    if found is None:
        raise NotFound(f"There is no event {event_id}: see `zekt events list`.")
    run, jobs, messages, deliveries = found
    parts = {"jobs": jobs, "messages": messages, "deliveries": deliveries}
    return {**_shown(run), **{name: [_shown(row) for row in rows] for name, rows in parts.items()}}


async def list_deliveries(broker: Broker, principal: Principal, page: Page) -> list[dict[str, Any]]:
    """Deliveries, newest first.

    Raises:
        AccessDenied, InvalidInput, StorageUnavailable.
    """
    decide(principal, "delivery:read")
    _check(page)
    rows = await broker.database.query(lists.delivery_page, page.limit, page.state, page.before)
    return [_shown(row) for row in rows]


async def show_delivery(broker: Broker, principal: Principal, delivery_id: str) -> dict[str, Any]:
    """One delivery with its `attempts` and its `history`, oldest first.

    Raises:
        AccessDenied, NotFound, StorageUnavailable, DecryptionFailed.
    """
    decide(principal, "delivery:read")
    found = await broker.database.query(lists.delivery, delivery_id)
    if found is None:
        raise NotFound(
            f"There is no delivery {delivery_id}: list them with `zekt deliveries list`."
        )
    row, attempts, history = found
    return {
        **_shown(row),
        "waits_until": row["due_at"],
        "attempts": [_attempt(broker, attempt) for attempt in attempts],
        "history": [
            {
                "at": entry["at"],
                "actor": entry["actor"],
                "verb": entry["verb"],
                "details": orjson.loads(entry["details"]),
            }
            for entry in history
        ],
    }


def _check(page: Page) -> None:
    if not 1 <= page.limit <= MOST_ROWS:
        raise InvalidInput(f"A list shows 1 to {MOST_ROWS} rows.")
    if page.state is not None and page.state not in STATES:
        raise InvalidInput(f"{page.state!r} is no state; there are {', '.join(STATES)}.")
    if page.before is not None and not _ID.fullmatch(page.before):
        raise InvalidInput(f"{page.before[:80]!r} is no id of this list: take its last one.")


def _shown(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items() if name not in _HIDDEN}


def _attempt(broker: Broker, row: RowMapping) -> dict[str, Any]:
    sealed = row["error"]
    place = ("attempts", "error", row["delivery"])
    error = broker.database.keyring.open(place, sealed).decode() if sealed else None
    names = ("n", "at", "outcome", "status", "request_id", "duration_us", "sha256", "length")
    return {**{name: row[name] for name in names}, "error": error}
