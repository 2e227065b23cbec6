"""Switching durable on and off: whether a consumer's run must confirm what it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zekt_bot.domain.subscriptions import REPOSITORY_DISPATCH, check_durable
from zekt_bot.errors import Conflict, InvalidInput
from zekt_bot.operations.preflight import check_subscription
from zekt_bot.operations.preflight.findings import PROOFS, RUN_NAME, STEP
from zekt_bot.operations.subscription_moves import change
from zekt_bot.operations.subscription_parties import parties

if TYPE_CHECKING:
    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.subscriptions import Durable, Subscription
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.subscription_parties import Named, Parties


async def make_durable(
    broker: Broker,
    principal: Principal,
    named: Named,
    durable: Durable | None,
    *,
    force: bool = False,
) -> Subscription:
    """Send again what no run confirms in time, or (None) no longer.

    `force` asks nobody whether a run could confirm anything.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is over; or no workflow of the consumer would confirm what it gets.
    """
    found = await parties(broker, principal, "subscription:configure", named)
    found.alive()
    values: dict[str, Any] = {"durable_after": None, "durable_sends": None}
    if durable is not None:
        check_durable(durable)
        if found.channel != REPOSITORY_DISPATCH:
            raise InvalidInput(f"What {found.channel} takes starts no run that could confirm it.")
        if not force:
            await check_proof(broker, principal, found, _FORCED)
        seconds = int(durable.after.total_seconds())
        values = {"durable_after": seconds, "durable_sends": durable.sends}
    return await change(broker, principal, found, "configured", values)


_FORCED = (
    "each delivery is sent as often as set, whatever its runs do, unless one is probably its own; "
    "then it is dead."
)


async def check_proof(broker: Broker, principal: Principal, found: Parties, forced: str) -> None:
    """Make sure that a workflow of the consumer that reacts says which delivery it came of: by its
    run-name, or in a step.

    `forced`: what becomes of each delivery if none does.

    Raises:
        AccessDenied, NotFound, GitHubError, StorageUnavailable.
        Conflict: none does.
    """
    findings = await check_subscription(broker, principal, found.id)
    reacting = {finding.file for finding in findings if finding.word == "reacts"}
    if not any(each.word in PROOFS and each.file in reacting for each in findings):
        raise Conflict(
            f"No workflow of {found.full_name} would confirm what it gets: add the line "
            f"`{RUN_NAME}` to one that reacts, or a step to it, {STEP}. With --force {forced}"
        )
