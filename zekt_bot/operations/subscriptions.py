"""Subscriptions: a consumer asks or is invited, the other side answers; two consents."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from zekt_bot.domain.audit import SYSTEM
from zekt_bot.domain.catalog import check_number
from zekt_bot.domain.subscriptions import check_words
from zekt_bot.errors import Conflict, InvalidInput
from zekt_bot.operations.subscription_moves import Changed, change, move
from zekt_bot.operations.subscription_parties import parties
from zekt_bot.operations.subscription_terms import (
    ALL,
    Terms,
    asked,
    check_time,
    consented,
    event_types,
    filters,
    offered,
    settings,
    wanted,
)

if TYPE_CHECKING:
    from zekt_bot.domain.access import Action, Principal
    from zekt_bot.domain.subscriptions import Ending, Subscription
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.subscription_parties import Named, Parties

PLAIN = Terms()
ENDINGS: dict[Ending, Action] = {
    "reject": "subscription:reject",
    "decline": "subscription:decline",
    "revoke": "subscription:revoke",
    "withdraw": "subscription:withdraw",
    "end": "subscription:end",
}


async def request(
    broker: Broker, principal: Principal, named: Named, terms: Terms = PLAIN
) -> Subscription:
    """Ask for OWNER/SLUG to reach a repository, which is thereby enabled as a consumer.

    A service that approves the consumer's account by its list answers at once.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it has been asked for, or approved, already; or it may not be asked for.
    """
    words = check_words(terms.words)
    found = await parties(broker, principal, "subscription:request", named)
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


async def invite(
    broker: Broker, principal: Principal, named: Named, words: str = ""
) -> Subscription:
    """Offer OWNER/SLUG to a repository, whose people accept or decline.

    Settings of the channel are theirs to give, with the acceptance.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is subscribed, or asked, already.
    """
    words = check_words(words)
    found = await parties(broker, principal, "subscription:invite", named)
    changed = asked(broker, principal, found, by=found.provider.account_id)
    changed |= offered(broker, found)
    changed |= {"words": words or None, "answer": None, "paused_at": None}
    return await move(broker, principal, found, Changed("invite", changed))


async def accept(
    broker: Broker, principal: Principal, named: Named, terms: Terms = PLAIN
) -> Subscription:
    """Accept an invitation; or, of what is approved, the event types that were added later.

    Raises:
        AccessDenied, NotFound, GitHubError, StorageUnavailable.
        InvalidInput: it is no such channel, setting, event type or filter; or it is approved
            already, and `terms` is of more than event types.
        Conflict: there is neither, or the invitation's time is over.
    """
    found = await parties(broker, principal, "subscription:accept", named)
    if found.held is not None and found.held.state == "approved":
        if terms.settings is not None or terms.filters != ALL:
            raise InvalidInput(
                "It is approved already: of that, event types alone are accepted. Set filters and "
                "settings with `zekt subscriptions configure`."
            )
        types = dict.fromkeys([*found.held.event_types, *event_types(found, terms)])
        check_number("event types", types)
        return await change(
            broker, principal, found, "widened", {"event_types": json.dumps(list(types))}
        )
    check_time(broker, found)
    changed = await wanted(broker, found, terms)
    changed |= consented(broker, principal, found.consumer.account_id)
    return await move(broker, principal, found, Changed("accept", changed, enables=True))


async def approve(broker: Broker, principal: Principal, named: Named) -> Subscription:
    """Approve what was requested.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it has not been requested, was answered already, or its time is over.
    """
    found = await parties(broker, principal, "subscription:approve", named)
    check_time(broker, found)
    if found.outlived:
        raise Conflict(
            f"{found.full_name} is not enabled as a consumer, or has another owner since it was "
            "requested: its people request the service again."
        )
    changed = consented(broker, principal, found.provider.account_id)
    return await move(broker, principal, found, Changed("approve", changed))


async def end(
    broker: Broker, principal: Principal, verb: Ending, named: Named, words: str = ""
) -> Subscription:
    """End a subscription; the other side reads `words`.

    `reject` what was requested or `decline` an invitation, `withdraw` an invitation, `revoke` an
    approval (nothing is sent from now on), or, as the consumer, `end` it or take a request back.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is in no state that this ends, or moved meanwhile.
    """
    words = check_words(words)
    found = await parties(broker, principal, ENDINGS[verb], named)
    changed = {"answer": words or None, "expires_at": None, "paused_at": None}
    return await move(broker, principal, found, Changed(verb, changed))


async def pause(broker: Broker, principal: Principal, named: Named) -> Subscription:
    """Make no deliveries of events from now on, until `resume`; they are not made up for.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is not approved, or paused already.
    """
    found = await parties(broker, principal, "subscription:pause", named)
    held = found.approved()
    if held.paused:
        raise Conflict(f"The subscription of {found.full_name} to {found.name} is paused already.")
    return await change(broker, principal, found, "paused", {"paused_at": broker.now()})


async def resume(broker: Broker, principal: Principal, named: Named) -> Subscription:
    """Make deliveries of events again.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is not paused.
    """
    found = await parties(broker, principal, "subscription:pause", named)
    if not found.approved().paused:
        raise Conflict(f"The subscription of {found.full_name} to {found.name} is not paused.")
    values = {"paused_at": None, "resumed_at": broker.now()}
    return await change(broker, principal, found, "resumed", values)


async def configure(
    broker: Broker, principal: Principal, named: Named, terms: Terms
) -> Subscription:
    """Set the filters; and the channel's settings, if `terms` has any.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: there is no such subscription, or it is over.
    """
    found = await parties(broker, principal, "subscription:configure", named)
    found.alive()
    values: dict[str, Any] = {"filters": filters(found, terms)}
    if terms.settings is not None:
        values |= await settings(broker, found, terms)
    return await change(broker, principal, found, "configured", values)


def _may_be_asked_for(found: Parties) -> None:
    if not found.service.published:
        raise Conflict(f"{found.name} is not published.")
    if found.provider.blocked:
        raise Conflict(f"{found.name} is not available on this server at the moment.")
    if not found.service.may_be_asked_for(found.consumer):
        raise Conflict(
            f"{found.name} is {found.service.profile.visibility}: its provider "
            f"invites {found.full_name}."
        )
