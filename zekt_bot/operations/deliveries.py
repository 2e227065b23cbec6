"""Reading deliveries: lists, and all that happened to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.db.lists import deliveries
from zekt_bot.domain.access import Resource, decide
from zekt_bot.domain.advice import Case, advise
from zekt_bot.domain.catalog import check_full_name, check_service_name
from zekt_bot.domain.deliveries import STATES
from zekt_bot.domain.lists import DeliveryFilter, Page, check_page
from zekt_bot.errors import InvalidInput, NotFound
from zekt_bot.operations.shown import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import RowMapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

FIRST_PAGE = Page()
EVERYTHING = DeliveryFilter()


async def list_deliveries(
    broker: Broker,
    principal: Principal,
    page: Page = FIRST_PAGE,
    wanted: DeliveryFilter = EVERYTHING,
) -> list[dict[str, Any]]:
    """Deliveries, newest first.

    Raises:
        AccessDenied, InvalidInput, StorageUnavailable.
    """
    decide(principal, "delivery:read")
    check_page(page, "dlv")
    if wanted.state is not None and wanted.state not in STATES:
        raise InvalidInput(f"{wanted.state!r} is no state; there are {', '.join(STATES)}.")
    if wanted.service:
        check_service_name(wanted.service)
    if wanted.repository:
        check_full_name(wanted.repository)
    return [_named(row) for row in await broker.database.query(deliveries.page, page, wanted)]


async def show_delivery(broker: Broker, principal: Principal, delivery_id: str) -> dict[str, Any]:
    """One delivery with its `attempts` and its `history`, oldest first; `why`, and `what_to_do`.

    Raises:
        AccessDenied, NotFound, StorageUnavailable, DecryptionFailed.
    """
    found = await broker.database.query(deliveries.one, delivery_id)
    ends = (found[0]["source_repository_id"], found[0]["target_repository_id"]) if found else ()
    decide(principal, "delivery:read", Resource(*ends))
    if found is None:
        raise NotFound(
            f"There is no delivery {delivery_id}: list them with `zekt deliveries list`."
        )
    row, attempts, history = found
    tried = [_attempt(broker, attempt) for attempt in attempts]
    return {
        **_named(row),
        **advise(_case(row, tried))._asdict(),
        "waits_until": row["due_at"],
        "attempts": tried,
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


def _named(row: RowMapping) -> dict[str, Any]:
    """A delivery with its service as consumers write it."""
    return {**shown(row), "service": _service(row)}


def _service(row: RowMapping) -> str:
    return f"{row['alias'] or row['service_owner'] or '?'}/{row['slug'] or '?'}"


def _case(row: RowMapping, attempts: Sequence[Mapping[str, Any]]) -> Case:
    last = attempts[-1] if attempts else {"status": None, "error": None}
    own = ("state", "reason", "blocked_reason", "waits_for", "due_at", "attempts", "event_type")
    return Case(
        **{name: row[name] for name in own},
        source=row["source"] or "?",
        workflow=row["workflow_path"] or "?",
        service=_service(row),
        consumer=row["target"] or "?",
        status=last["status"],
        said=last["error"],
    )


def _attempt(broker: Broker, row: RowMapping) -> dict[str, Any]:
    sealed = row["error"]
    place = ("attempts", "error", row["delivery"])
    error = broker.database.keyring.open(place, sealed).decode() if sealed else None
    names = ("n", "at", "outcome", "status", "request_id", "duration_us", "sha256", "length")
    return {**{name: row[name] for name in names}, "error": error}
