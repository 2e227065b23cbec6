"""Subscriptions: a consumer asks or is invited, the other side answers; two consents."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from zekt_bot.db import subscriptions as rows_of
from zekt_bot.domain.access import Person, Resource
from zekt_bot.domain.subscriptions import (
    REPOSITORY_DISPATCH,
    STATES,
    check_filters,
    check_words,
)
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, NotFound
from zekt_bot.operations import access, services
from zekt_bot.operations.broker import SYSTEM
from zekt_bot.operations.subscription_moves import (
    Changed,
    Parties,
    change,
    move,
    parties,
)
from zekt_bot.operations.subscription_terms import (
    ALL,
    Terms,
    asked,
    check_time,
    consented,
    event_types,
    offered,
    settings,
    wanted,
)
from zekt_bot.operations.visibility import may_show

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from zekt_bot.domain.access import Action, Principal
    from zekt_bot.domain.subscriptions import Subscription, SubscriptionState, Verb
    from zekt_bot.operations.broker import Broker


PLAIN = Terms()
MOST_ROWS = 1000


async def request(
    broker: Broker, principal: Principal, service: str, full_name: str, terms: Terms = PLAIN
) -> Subscription:
    """Ask for OWNER/SLUG to reach a repository, which is thereby enabled as a consumer.

    A service that approves the consumer's account by its list answers at once.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it has been asked for, or approved, already; or it may not be asked for.
    """
    words = check_words(terms.words)
    found = await parties(
        broker, principal, "subscription:request", service, full_name, terms.channel
    )
    _may_be_asked_for(found)
    changed = asked(broker, principal, found) | await wanted(broker, found, terms)
    changed |= {"words": words or None, "answer": None, "paused_at": None}
    account_id = found.consumer.account_id
    if account_id not in found.service.profile.approves:
        return await move(broker, principal, found, Changed("request", changed, enables=True))
    changed |= {
        "state": "approved",
        "approved_by": SYSTEM,
        "approved_account_id": found.provider.account_id,
        "approved_at": broker.now(),
        "expires_at": None,
    }
    by_list = await broker.entry(
        "zekt:subscription:approved",
        SYSTEM,
        account_id=account_id,
        repository_id=found.consumer.id,
        details={"subscription": found.id, "list_of": found.provider.account_id},
    )
    also = (by_list,)
    return await move(broker, principal, found, Changed("request", changed, True, also))


async def invite(  # noqa: PLR0913 - a subscription's key, and words
    broker: Broker,
    principal: Principal,
    service: str,
    full_name: str,
    words: str = "",
    *,
    channel: str = REPOSITORY_DISPATCH,
) -> Subscription:
    """Offer OWNER/SLUG to a repository, whose people accept or decline.

    Settings of the channel are theirs to give, with the acceptance.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is subscribed, or asked, already.
    """
    words = check_words(words)
    found = await parties(broker, principal, "subscription:invite", service, full_name, channel)
    changed = asked(broker, principal, found, by=found.provider.account_id)
    changed |= offered(broker, found)
    changed |= {"words": words or None, "answer": None, "paused_at": None}
    return await move(broker, principal, found, Changed("invite", changed))


async def accept(
    broker: Broker, principal: Principal, service: str, full_name: str, terms: Terms = PLAIN
) -> Subscription:
    """Accept an invitation; or, of what is approved, the event types that were added later.

    Raises:
        AccessDenied, NotFound, GitHubError, StorageUnavailable.
        InvalidInput: it is no such channel, setting, event type or filter; or it is approved
            already, and `terms` is of more than event types.
        Conflict: there is neither, or the invitation's time is over.
    """
    found = await parties(
        broker, principal, "subscription:accept", service, full_name, terms.channel
    )
    if found.held is not None and found.held.state == "approved":
        if terms.settings is not None or terms.filters != ALL:
            raise InvalidInput(
                "It is approved already: of that, event types alone are accepted. Set filters and "
                "settings with `zekt subscriptions configure`."
            )
        types = dict.fromkeys([*found.held.event_types, *event_types(found, terms)])
        return await change(
            broker, principal, found, "widened", {"event_types": json.dumps(list(types))}
        )
    check_time(broker, found)
    changed = await wanted(broker, found, terms)
    changed |= consented(broker, principal, found.consumer.account_id)
    return await move(broker, principal, found, Changed("accept", changed, enables=True))


async def approve(
    broker: Broker,
    principal: Principal,
    service: str,
    full_name: str,
    channel: str = REPOSITORY_DISPATCH,
) -> Subscription:
    """Approve what was requested.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it has not been requested, was answered already, or its time is over.
    """
    found = await parties(broker, principal, "subscription:approve", service, full_name, channel)
    check_time(broker, found)
    if found.outlived:
        raise Conflict(
            f"{full_name} is not enabled as a consumer, or has another owner since it was "
            "requested: its people request the service again."
        )
    changed = consented(broker, principal, found.provider.account_id)
    return await move(broker, principal, found, Changed("approve", changed))


async def reject(  # noqa: PLR0913 - a subscription's key, and words
    broker: Broker,
    principal: Principal,
    service: str,
    full_name: str,
    words: str = "",
    *,
    channel: str = REPOSITORY_DISPATCH,
) -> Subscription:
    """Refuse what was requested; the consumer reads `words`.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable, Conflict.
    """
    return await _end(broker, principal, "reject", (service, full_name, channel), words)


async def decline(  # noqa: PLR0913 - a subscription's key, and words
    broker: Broker,
    principal: Principal,
    service: str,
    full_name: str,
    words: str = "",
    *,
    channel: str = REPOSITORY_DISPATCH,
) -> Subscription:
    """Refuse an invitation; the provider reads `words`.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable, Conflict.
    """
    return await _end(broker, principal, "decline", (service, full_name, channel), words)


async def revoke(  # noqa: PLR0913 - a subscription's key, and words
    broker: Broker,
    principal: Principal,
    service: str,
    full_name: str,
    words: str = "",
    *,
    channel: str = REPOSITORY_DISPATCH,
) -> Subscription:
    """The provider takes its approval back: nothing is sent from now on.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable, Conflict.
    """
    return await _end(broker, principal, "revoke", (service, full_name, channel), words)


async def withdraw(  # noqa: PLR0913 - a subscription's key, and words
    broker: Broker,
    principal: Principal,
    service: str,
    full_name: str,
    words: str = "",
    *,
    channel: str = REPOSITORY_DISPATCH,
) -> Subscription:
    """The provider takes its invitation back.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable, Conflict.
    """
    return await _end(broker, principal, "withdraw", (service, full_name, channel), words)


async def end(  # noqa: PLR0913 - a subscription's key, and words
    broker: Broker,
    principal: Principal,
    service: str,
    full_name: str,
    words: str = "",
    *,
    channel: str = REPOSITORY_DISPATCH,
) -> Subscription:
    """The consumer wants no more of it, or takes its request back.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable, Conflict.
    """
    return await _end(broker, principal, "end", (service, full_name, channel), words)


async def pause(
    broker: Broker,
    principal: Principal,
    service: str,
    full_name: str,
    channel: str = REPOSITORY_DISPATCH,
) -> Subscription:
    """Make no deliveries of events from now on, until `resume`; they are not made up for.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is not approved, or paused already.
    """
    found = await parties(broker, principal, "subscription:pause", service, full_name, channel)
    held = found.approved()
    if held.paused:
        raise Conflict(f"The subscription of {full_name} to {service} is paused already.")
    return await change(broker, principal, found, "paused", {"paused_at": broker.now()})


async def resume(
    broker: Broker,
    principal: Principal,
    service: str,
    full_name: str,
    channel: str = REPOSITORY_DISPATCH,
) -> Subscription:
    """Make deliveries of events again.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is not paused.
    """
    found = await parties(broker, principal, "subscription:pause", service, full_name, channel)
    if not found.approved().paused:
        raise Conflict(f"The subscription of {full_name} to {service} is not paused.")
    return await change(broker, principal, found, "resumed", {"paused_at": None})


async def configure(
    broker: Broker,
    principal: Principal,
    service: str,
    full_name: str,
    terms: Terms,
) -> Subscription:
    """Set the filters; and the channel's settings, if `terms` has any.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: there is no such subscription, or it is over.
    """
    found = await parties(
        broker, principal, "subscription:configure", service, full_name, terms.channel
    )
    found.alive()
    values: dict[str, Any] = {"filters": json.dumps(asdict(check_filters(terms.filters)))}
    if terms.settings is not None:
        values |= await settings(broker, found, terms)
    return await change(broker, principal, found, "configured", values)


_ENDINGS: dict[Verb, Action] = {
    "reject": "subscription:reject",
    "decline": "subscription:decline",
    "revoke": "subscription:revoke",
    "withdraw": "subscription:withdraw",
    "end": "subscription:end",
}


async def _end(
    broker: Broker, principal: Principal, verb: Verb, key: tuple[str, str, str], words: str
) -> Subscription:
    words = check_words(words)
    found = await parties(broker, principal, _ENDINGS[verb], *key)
    changed = {"answer": words or None, "expires_at": None, "paused_at": None}
    return await move(broker, principal, found, Changed(verb, changed))


def _may_be_asked_for(found: Parties) -> None:
    if not found.service.published:
        raise Conflict(f"{found.name} is not published.")
    if not found.service.may_be_asked_for(found.consumer):
        raise Conflict(
            f"{found.name} is {found.service.profile.visibility}: its provider "
            f"invites {found.full_name}."
        )


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
    if not 1 <= which.limit <= MOST_ROWS:
        raise InvalidInput(f"A list shows 1 to {MOST_ROWS} rows.")
    strange = [each for each in which.states if each not in STATES]
    if strange:
        raise InvalidInput(f"{strange[0]!r} is no state; there are {', '.join(STATES)}.")
    repository_id, service_id, own = await _ends(broker, principal, which)
    found = await broker.database.query(
        rows_of.page, (repository_id, service_id), which.states, which.after, which.limit
    )
    operator = not isinstance(principal, Person)
    return [_shown(row, whole=operator or row["provider_id"] == own) for row in found]


async def _ends(
    broker: Broker, principal: Principal, which: Which
) -> tuple[int | None, str | None, int | None]:
    """Ids of the repository and the service that are named, and of the provider who asks."""
    if which.service is not None and which.repository is not None:
        both = await parties(
            broker, principal, "subscription:read", which.service, which.repository
        )
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


async def show(broker: Broker, principal: Principal, subscription_id: str) -> dict[str, Any]:
    """One subscription, by its id.

    Raises:
        AccessDenied, GitHubError, StorageUnavailable.
        NotFound: there is none, or it is between others.
    """
    access.refuse_runs(principal, "subscription:read")
    row = await broker.database.query(rows_of.listed, subscription_id)
    if row is not None:
        ends = Resource(row["provider_id"], row["repository_id"])
        with contextlib.suppress(AccessDenied):
            managed = await may_show(broker, principal, "subscription:read", ends)
            whole = not isinstance(principal, Person) or row["provider_id"] in managed
            return _shown(row, whole=whole)
    raise NotFound(
        f"There is no subscription {subscription_id}: list them with `zekt subscriptions list`."
    )


def _shown(row: RowMapping, *, whole: bool) -> dict[str, Any]:
    """A subscription as both its ends may see it; settings stay sealed.

    Unless `whole`, who asked or approved for a hidden source stays untold.
    """
    accepted = json.loads(row["event_types"])
    declared = json.loads(row["declared"])
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
        "created_at",
    )
    shown = {name: row[name] for name in plain}
    if row["hidden_source"] and not whole:
        for asked in ("requested", "approved"):
            if row[f"{asked}_account_id"] != row["consumer_account_id"]:
                shown[f"{asked}_by"] = None
    return {
        **shown,
        "service": f"{row['shown_owner']}/{row['slug']}",
        "event_types": accepted,
        "not_accepted": [each for each in declared if each not in accepted],
        "filters": json.loads(row["filters"]),
    }
