"""GitHub's list of deliveries, read from the newest down to what is covered.

A busy App's list has more pages than an hour has requests. So the way down leaves places, from
which each stretch can be read again, and a way that was cut off goes on at its last place.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import orjson

from zekt_bot.db import inbox, mirror
from zekt_bot.domain.recovery import provides_since
from zekt_bot.github import hook_deliveries
from zekt_bot.pipeline.recovery import SETTLED, few_left, is_few, note
from zekt_bot.pipeline.verify import HANDLED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from zekt_bot.domain.catalog import Repository
    from zekt_bot.domain.recovery import Coverage
    from zekt_bot.github.hook_deliveries import HookDelivery, Page
    from zekt_bot.operations.broker import Broker

_OVERLAP = timedelta(minutes=15)  # GitHub's list may show a delivery late
_MOST = 20_000  # of the oldest, in a pass
_STRETCH = 20  # pages between two places


@dataclass(frozen=True, slots=True)
class Place:
    """Where the list can be entered: what `cursor` leads to was delivered until `until`."""

    cursor: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Found:
    """What is missing until `until`, the oldest first. `oldest`: where the list ended; `whole`: it
    is all; `state`: with the places that were left on the way.
    """

    missing: Sequence[HookDelivery]
    until: datetime
    oldest: datetime | None
    whole: bool
    state: Coverage


def places(state: Coverage, now: datetime) -> tuple[Place, ...]:
    """Those above what is covered, the lowest last; GitHub forgets older ones."""
    known = orjson.loads(state.cursor) if state.cursor else []
    every = (Place(cursor, datetime.fromisoformat(until)) for cursor, until in known)
    since = max(state.covered_to or now - hook_deliveries.KEPT, now - hook_deliveries.KEPT)
    return tuple(place for place in every if place.until > since)


def at_places(state: Coverage, known: Sequence[Place]) -> Coverage:
    """With these places alone."""
    kept = [(place.cursor, place.until.isoformat()) for place in known]
    return replace(state, cursor=orjson.dumps(kept).decode() if kept else None)


async def read(broker: Broker, state: Coverage, stopped: Callable[[], bool]) -> Found | None:
    """The list from its lowest place on, or from the newest; None: it was to stop.

    Raises:
        GitHubError: also when few requests are left; the places are kept.
    """
    now = broker.now()
    known = places(state, now)
    begun = known[-1] if known else None
    until, cursor = (begun.until, begun.cursor) if begun else (now - SETTLED, None)
    bottom = state.covered_to - (timedelta(0) if begun else _OVERLAP) if state.covered_to else None
    gathered = _Gathered(until)
    while not stopped():
        page = await hook_deliveries.page(broker.github, cursor)
        await gathered.take(broker, page)
        oldest = gathered.oldest
        if page.cursor is None or (bottom and oldest and oldest < bottom):
            return gathered.found(at_places(state, known))
        cursor, few = page.cursor, is_few(page.share_left)
        if oldest and (few or gathered.pages % _STRETCH == 0):
            known = (*known, Place(cursor, min(oldest, until)))
            await note(broker, replace(at_places(state, known), problem=None))
        if few:
            raise few_left("App")
    return None


@dataclass(slots=True)
class _Gathered:
    """What is missing, by GUID, so that of an event's attempts the first one counts."""

    until: datetime
    missing: dict[str, HookDelivery] = field(default_factory=dict)
    oldest: datetime | None = None
    whole: bool = True
    pages: int = 0

    async def take(self, broker: Broker, page: Page) -> None:
        self.pages += 1
        wanted = [each for each in page.deliveries if each.delivered_at <= self.until]
        for each in await broker.database.query(_missing, wanted):
            self.missing[each.guid] = each
        while len(self.missing) > _MOST:  # the newest are left to the next pass
            del self.missing[next(iter(self.missing))]
            self.whole = False
        self.oldest = page.deliveries[-1].delivered_at if page.deliveries else self.oldest

    def found(self, state: Coverage) -> Found:
        in_order = sorted(self.missing.values(), key=lambda each: (each.delivered_at, each.id))
        return Found(in_order, self.until, self.oldest, self.whole, state)


def _missing(connection: Connection, listed: Sequence[HookDelivery]) -> list[HookDelivery]:
    """Those to ask for, as the list alone tells."""
    handled = [each for each in listed if each.event in HANDLED]
    about = {each.repository_id for each in handled if each.repository_id is not None}
    known = mirror.repositories_by_id(connection, about)
    wanted = [each for each in handled if _is_wanted(each, known.get(each.repository_id or 0))]
    there = inbox.known(connection, "orchestrator", {each.guid for each in wanted})
    return [each for each in wanted if each.guid not in there]


def _is_wanted(each: HookDelivery, repository: Repository | None) -> bool:
    """Whether `store` would take it: news of installations, or of what was enabled by then."""
    if each.repository_id is None:
        return True
    if repository is None or repository.blocked:
        return False
    if each.event == "repository":
        return True
    provides = provides_since(repository)
    if provides is not None and provides <= each.delivered_at:
        return True
    # Most runs of a consumer were answered and not stored: not all of them are asked for.
    since = repository.consumer_since
    proves = each.event == "workflow_run" and not each.answered
    return proves and since is not None and since <= each.delivered_at
