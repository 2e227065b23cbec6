"""What a consumer wants of a service, checked and as the columns of its subscription."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.domain.catalog import ANY_TYPE, check_number
from zekt_bot.domain.names import check_event_type
from zekt_bot.domain.subscriptions import Filters, check_filters
from zekt_bot.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.subscription_parties import Parties

ALL = Filters()


@dataclass(frozen=True, slots=True)
class Terms:
    """What a consumer wants of a service.

    `settings` are the channel's, and kept sealed. No event types: all that the service declares
    now, of an invitation what it offered. `words` are for the provider to read.
    """

    settings: Mapping[str, str] | None = None
    event_types: tuple[str, ...] | None = None
    filters: Filters = ALL
    words: str = ""


async def wanted(broker: Broker, found: Parties, terms: Terms) -> dict[str, Any]:
    """Settings, event types and filters as columns."""
    return {
        **await settings(broker, found, terms),
        "event_types": json.dumps(event_types(found, terms)),
        "filters": filters(found, terms),
    }


def offered(broker: Broker, found: Parties) -> dict[str, Any]:
    """What an invitation leaves to who accepts it: the settings above all.

    Raises:
        InvalidInput: there is no such channel.
    """
    broker.plugins.check_offered(found.channel)
    types = found.service.profile.event_types
    return {
        "settings": None,
        "lane": None,
        "event_types": json.dumps(types),
        "filters": json.dumps(asdict(ALL)),
    }


def event_types(found: Parties, terms: Terms) -> tuple[str, ...]:
    """The event types that are accepted.

    Raises:
        InvalidInput: the service declares none of that name, or they are too many.
    """
    declared = found.service.profile.event_types
    named = _by_default(found) if terms.event_types is None else terms.event_types
    types = tuple(dict.fromkeys(map(check_event_type, named)))
    check_number("event types", types)
    strange = [each for each in types if not found.service.declares(each)]
    if strange or not types:
        raise InvalidInput(f"{found.name} sends {', '.join(declared)}: accept some of these.")
    return types


def filters(found: Parties, terms: Terms) -> str:
    """What is let through, as its column.

    Raises:
        InvalidInput: a filter is senseless; or the source is hidden, and what comes through
            patterns of branches would spell their names.
    """
    checked = check_filters(terms.filters)
    if checked.branches and found.service.profile.hidden_source:
        raise InvalidInput(
            f"{found.name} hides its source, branches too: filter by event type and conclusion."
        )
    return json.dumps(asdict(checked))


def _by_default(found: Parties) -> tuple[str, ...]:
    """All that the service declares; of an invitation what it offered: more may have come since."""
    held, service = found.held, found.service
    if held is None or held.state != "invited" or ANY_TYPE in held.event_types:
        return service.profile.event_types
    return tuple(each for each in held.event_types if service.declares(each))


async def settings(broker: Broker, found: Parties, terms: Terms) -> dict[str, Any]:
    """The channel's settings, sealed, and what its deliveries are paced with."""
    told = dict(terms.settings or {})
    lane = await broker.plugins.check_channel(found.channel, told)
    sealed = None
    if told:
        place = ("subscriptions", "settings", found.id)
        sealed = broker.database.keyring.seal(place, json.dumps(told).encode())
    return {"settings": sealed, "lane": lane}


_AGREED_ANEW = (
    "durable_after",
    "durable_sends",
    "ordered_by",
    "ordered_within",
    "ordered_stops",
)


def asked(
    broker: Broker, principal: Principal, found: Parties, by: int | None = None
) -> dict[str, Any]:
    """The consent of who asks or invites, and how long it waits for an answer.

    How it is sent is agreed anew; who may replay stays as the consumer said, not a former owner.
    """
    anew: dict[str, Any] = dict.fromkeys(_AGREED_ANEW)
    ends = {found.consumer.account_id, found.provider.account_id}
    if found.row is not None and found.row["requested_account_id"] not in ends:
        anew["provider_may_replay"] = True
    return {
        **anew,
        "requested_by": principal.actor,
        "requested_account_id": by or found.consumer.account_id,
        "requested_at": broker.now(),
        "approved_by": None,
        "approved_account_id": None,
        "approved_at": None,
        "expires_at": broker.answer_by(),
    }


def consented(broker: Broker, principal: Principal, account_id: int) -> dict[str, Any]:
    """The consent of who approves or accepts."""
    return {
        "approved_by": principal.actor,
        "approved_account_id": account_id,
        "approved_at": broker.now(),
        "expires_at": None,
    }


def check_time(broker: Broker, found: Parties) -> None:
    """Raise Conflict if the time for an answer is over."""
    expires_at = found.row["expires_at"] if found.row else None
    if expires_at is not None and expires_at <= broker.now():
        raise Conflict(
            f"What {found.full_name} and {found.name} agreed on was not answered in time: it must "
            "be asked anew."
        )
