"""Events: the finished runs, all that came of one, and what of it was set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.db import aside
from zekt_bot.db.aside import Requeue
from zekt_bot.db.lists import events
from zekt_bot.domain.access import Resource, decide
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.lists import EventFilter, Page
from zekt_bot.errors import Conflict, Gone, NotFound
from zekt_bot.operations.deliveries import held_up
from zekt_bot.operations.visibility import PagedList, all_shown, may_show, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

FIRST_PAGE = Page()
EVERYTHING = EventFilter()
_EVENTS = PagedList("event:read", "run", events.page)


async def list_events(
    broker: Broker,
    principal: Principal,
    page: Page = FIRST_PAGE,
    wanted: EventFilter = EVERYTHING,
) -> list[dict[str, Any]]:
    """Finished runs, newest first.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    return await _EVENTS.read(broker, principal, page, wanted)


async def show_event(broker: Broker, principal: Principal, event_id: str) -> dict[str, Any]:
    """One run, by its id, correlation id or an event id of it.

    With its `jobs`, `messages`, `envelopes`, `deliveries` and `reactions`: the consumers' runs.
    `blocked_by`: the plugin that blocked the run, or an envelope.

    Raises:
        AccessDenied, NotFound, GitHubError, StorageUnavailable.
    """
    found = await broker.database.query(events.one, event_id)
    provider = found[0]["repository_id"] if found else None
    await may_show(broker, principal, "event:read", Resource(provider=provider))
    if found is None:
        raise NotFound(f"There is no event {event_id}: see `zekt events list`.")
    run, parts = found
    blockers, now = _blockers(parts.pop("blocks")), broker.now()
    sent = [{**shown(row), **held_up(row, now)} for row in parts.pop("deliveries")]
    found_parts = {name: all_shown(rows) for name, rows in parts.items()}
    for envelope in found_parts["envelopes"]:
        envelope["blocked_by"] = blockers.get(envelope["id"])
    told = {"blocked_by": blockers.get(None), **found_parts, "deliveries": sent}
    return {**shown(run), **told}


async def retry_event(broker: Broker, principal: Principal, event_id: str) -> None:
    """Try again what was set aside of a run: the run itself, or events of it.

    `event_id` is the run's, its correlation id, or that of an event of it.

    Raises:
        AccessDenied, Conflict, Gone, NotFound, StorageUnavailable.
    """
    decide(principal, "event:retry")
    found = await broker.database.query(events.one, event_id)
    if found is None:
        raise NotFound(f"There is no event {event_id}: see `zekt events list`.")
    key = RunKey(*(found[0][name] for name in RunKey._fields))
    told = []
    for row in (await broker.database.query(aside.of_runs, [key])).get(key, []):
        entry = await broker.entry(
            f"person:{row.noun}:requeued",
            principal.actor,
            correlation_id=row.correlation_id,
            repository_id=key.repository_id,
            details={row.noun: row.id},
        )
        told.append((row, entry))
    if await broker.database.write(aside.requeue, Requeue(told, broker.now())):
        return
    if await broker.database.query(aside.is_any, key):
        raise Gone(
            "What was set aside of it cannot be tried again: the body that it would be sent with "
            "was deleted by age (ZEKT_PAYLOAD_DAYS)."
        )
    raise Conflict("Nothing of it is set aside: see `zekt events show`.")


def _blockers(entries: Iterable[Mapping[Any, Any]]) -> dict[str | None, str]:
    """By the blocked envelope's id (None: the run itself), the plugin that blocked it."""
    blocks = [orjson.loads(entry["details"]) for entry in entries]
    return {block.get("event"): block["plugin"] for block in blocks if "plugin" in block}
