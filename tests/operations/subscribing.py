"""Saying what people say about a subscription, and what is then stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from tests.stage import ME, SERVICE
from zekt_bot.db import tables
from zekt_bot.db.tables import audit
from zekt_bot.operations import subscriptions
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.stage import Stage
    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.subscriptions import Ending, Subscription, SubscriptionState, Verb

Say = Callable[..., Awaitable["Subscription"]]
CONSUMER = "kestrel-bank/core-sync"
PROVIDER = "aurora-labs/payments-api"
ENDS = Ends(SERVICE, CONSUMER)
DAYS = timedelta(days=30)


def ending(verb: Ending) -> Say:
    """A verb that ends a subscription, said as the others are."""
    return lambda broker, who, named: subscriptions.end(broker, who, verb, named)


SAY: dict[Verb, Say] = {
    "request": subscriptions.request,
    "invite": subscriptions.invite,
    "accept": subscriptions.accept,
    "approve": subscriptions.approve,
    "reject": ending("reject"),
    "decline": ending("decline"),
    "revoke": ending("revoke"),
    "withdraw": ending("withdraw"),
    "end": ending("end"),
}
WAY: dict[SubscriptionState | None, tuple[Verb, ...]] = {
    None: (),
    "requested": ("request",),
    "invited": ("invite",),
    "approved": ("request", "approve"),
    "rejected": ("request", "reject"),
    "revoked": ("request", "approve", "revoke"),
    "ended": ("request", "end"),
}
PROVIDERS: set[Verb] = {"invite", "approve", "reject", "revoke", "withdraw"}
ALIAS = "northern-lights/release"
HIDDEN: dict[str, Any] = {"hidden_source": True, "alias": "northern-lights"}


async def go(stage: Stage, *verbs: Verb, who: Principal = ME) -> None:
    for verb in verbs:
        await SAY[verb](stage.broker, who, ENDS)


async def row_of(stage: Stage) -> Mapping[str, Any]:
    return await stage.row(tables.subscriptions)


async def told(stage: Stage, verb: str) -> list[Mapping[str, Any]]:
    """Audit entries of a verb."""
    statement = select(audit).where(audit.c.verb == verb)
    return await stage.broker.database.query(lambda c: list(c.execute(statement).mappings()))
