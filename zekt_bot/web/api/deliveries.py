"""`POST /api/event-delivery/confirm` and `…/complete`: a consumer's run on what it received."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.errors import InvalidInput
from zekt_bot.operations import confirmations
from zekt_bot.web.api.models import Confirmation, Confirmed

if TYPE_CHECKING:
    from zekt_bot.domain.proof import Report
    from zekt_bot.web.api.edge import Call


async def confirm(call: Call) -> Confirmed:
    """It has begun with a delivery."""
    return await _tell(call, None)


async def complete(call: Call) -> Confirmed:
    """It is done with a delivery."""
    return await _tell(call, call.body.conclusion)


async def _tell(call: Call, report: Report | None) -> Confirmed:
    sent: Confirmation = call.body
    name = sent.delivery_id or sent.correlation_id
    if not name:
        raise InvalidInput("The body names no delivery: send its deliveryId.")
    told = await confirmations.confirm(call.broker, call.run.principal, name, report)
    return Confirmed(True, told.delivery_id, told.correlation_id, told.state)
