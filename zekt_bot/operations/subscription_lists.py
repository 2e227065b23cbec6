"""Subscriptions as their two ends see them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import mirror
from zekt_bot.db import subscriptions as rows_of
from zekt_bot.domain.access import Person
from zekt_bot.domain.catalog import ANY_TYPE
from zekt_bot.domain.lists import Page, check_page
from zekt_bot.domain.subscriptions import STATES
from zekt_bot.errors import AccessDenied, InvalidInput
from zekt_bot.operations import access, services
from zekt_bot.operations.subscription_parties import Ends, parties

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import RowMapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.catalog import Obstacle, Repository
    from zekt_bot.domain.subscriptions import SubscriptionState
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.subscription_parties import Named


@dataclass(frozen=True, slots=True)
class Which:
    """Which subscriptions a list shows: of a repository at either end, or of a service."""

    repository: str | None = None
    service: str | None = None
    states: tuple[SubscriptionState, ...] = ()
    limit: int = 50
    after: str = ""


async def list_subscriptions(
    broker: Broker, principal: Principal, which: Which
) -> list[dict[str, Any]]:
    """Subscriptions by id, at most `limit` after the id `after`.

    Who manages the consumer alone does not learn who the people of a hidden source are.

    Raises:
        NotFound, InvalidInput, GitHubError, StorageUnavailable.
        AccessDenied: a person names neither a repository nor a service that they manage.
    """
    access.refuse_runs(principal, "subscription:read")
    check_page(Page(which.limit, which.after or None), "sub")
    strange = [each for each in which.states if each not in STATES]
    if strange:
        raise InvalidInput(f"{strange[0]!r} is no state; there are {', '.join(STATES)}.")
    repository_id, service_id, own = await _ends(broker, principal, which)
    found = await broker.database.query(
        rows_of.page, (repository_id, service_id), which.states, which.after, which.limit
    )
    operator = not isinstance(principal, Person)
    ends = await repositories_of(broker, found)
    return [shown(row, ends, whole=operator or row["provider_id"] == own) for row in found]


async def repositories_of(broker: Broker, rows: Sequence[RowMapping]) -> dict[int, Repository]:
    """The repositories at both ends."""
    ids = {row[end] for row in rows for end in ("repository_id", "provider_id")}
    return await broker.database.query(mirror.repositories_by_id, ids)


async def _ends(
    broker: Broker, principal: Principal, which: Which
) -> tuple[int | None, str | None, int | None]:
    """Ids of the repository and the service that are named, and of the provider who asks."""
    if which.service is not None and which.repository is not None:
        ends = Ends(which.service, which.repository)
        both = await parties(broker, principal, "subscription:read", ends)
        own = both.provider.id if await both.managed(broker, principal) else None
        return both.consumer.id, both.service.id, own
    if which.service is not None:
        service, owner = await services.owned(broker, principal, "subscription:read", which.service)
        return None, service.id, owner.id
    if which.repository is not None:
        named = await access.known(broker, principal, "subscription:read", which.repository)
        return named.id, None, named.id
    if isinstance(principal, Person):
        raise AccessDenied(
            "You see the subscriptions of what you manage: name one with --repository."
        )
    return None, None, None


async def show(broker: Broker, principal: Principal, named: Named) -> dict[str, Any]:
    """One subscription.

    Raises:
        AccessDenied, InvalidInput, GitHubError, StorageUnavailable.
        NotFound: there is none, or it is between others.
    """
    found = await parties(broker, principal, "subscription:read", named)
    row = await broker.database.query(rows_of.listed, found.id)
    if row is None:
        raise found.without()
    ends = await repositories_of(broker, [row])
    return shown(row, ends, whole=await found.managed(broker, principal))


def shown(row: RowMapping, ends: Mapping[int, Repository], *, whole: bool) -> dict[str, Any]:
    """A subscription as both its ends may see it, with why it rests; settings stay sealed.

    Unless `whole`, who asked or approved for a hidden source stays untold, and what befell its
    repository at GitHub, where everybody might see which one that befell.
    """
    accepted = json.loads(row["event_types"])
    declared = [] if ANY_TYPE in accepted else json.loads(row["declared"])
    plain = (
        "id",
        "consumer",
        "channel",
        "state",
        "words",
        "answer",
        "requested_by",
        "requested_at",
        "approved_by",
        "approved_at",
        "expires_at",
        "paused_at",
        "provider_may_replay",
        "durable_after",
        "durable_sends",
        "ordered_by",
        "ordered_within",
        "ordered_stops",
        "created_at",
    )
    told = {name: row[name] for name in plain}
    unnamed, obstacle = row["hidden_source"] and not whole, _obstacle(ends, row["provider_id"])
    if unnamed:
        for asked in ("requested", "approved"):
            if row[f"{asked}_account_id"] != row["consumer_account_id"]:
                told[f"{asked}_by"] = None
    return {
        **told,
        "service": f"{row['shown_owner']}/{row['slug']}",
        "service_rests": row["rests"] or ("unavailable" if unnamed and obstacle else obstacle),
        "consumer_rests": _obstacle(ends, row["repository_id"]),
        "event_types": accepted,
        "not_accepted": [each for each in declared if each not in accepted],
        "filters": json.loads(row["filters"]),
    }


def _obstacle(ends: Mapping[int, Repository], repository_id: int) -> Obstacle | None:
    known = ends.get(repository_id)  # none: it was purged since the list was read
    return known.obstacle if known else "not_installed"
