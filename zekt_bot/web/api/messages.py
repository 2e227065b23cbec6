"""`POST /api/events/receive`: a message of the run that calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.errors import MessageRefused
from zekt_bot.operations import messages
from zekt_bot.web.api.models import MessageStored, NewMessage

if TYPE_CHECKING:
    from zekt_bot.web.api.edge import Call


async def receive(call: Call) -> MessageStored:
    """Store it before the answer."""
    sent: NewMessage = call.body
    call.run.check_names(sent.repository)
    call.run.check_is(sent.workflow_run_id)
    if sent.orchestration_step_ref is not None:
        raise MessageRefused("Orchestrations are not served yet: leave orchestration_step_ref out.")
    stored = await messages.store(
        call.broker, call.run.principal, sent.event_type, bytes(sent.payload)
    )
    return MessageStored(
        success=True,
        event_id=stored.event_id,
        consumers_notified=stored.consumers,
        message=stored.said,
        message_id=stored.message_id,
        correlation_id=stored.correlation_id,
        duplicate=stored.duplicate,
    )
