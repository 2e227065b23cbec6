"""`POST /api/events/receive` and `GET /api/messages/{id}`: messages, sent and fetched by runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from zekt_bot.errors import MessageRefused
from zekt_bot.operations import messages
from zekt_bot.pipeline.fetch import fetch as fetched
from zekt_bot.web.api.models import MessageStored, NewMessage, TakenOut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zekt_bot.domain.messages import Redaction
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
        consumers_left_out=stored.left_out,
        message=" ".join([stored.said, *_withdraw(stored.redactions)]),
        message_id=stored.message_id,
        correlation_id=stored.correlation_id,
        duplicate=stored.duplicate,
        redactions=[TakenOut(each.path, each.kind) for each in stored.redactions],
    )


def _withdraw(redactions: Sequence[Redaction]) -> Iterator[str]:
    """What the Action's log says of secrets that were taken out."""
    if redactions:
        first, more = redactions[0], len(redactions) - 1
        others = f" and {more} more" if more else ""
        yield f"Secrets were taken out of it: {first}{others}. Withdraw them."


async def fetch(call: Call) -> web.Response:
    """Give its own bytes, whose SHA-256 the consumer was told."""
    body = await fetched(call.broker, call.run.principal, call.names["message"])
    return web.Response(body=body, content_type="application/json")
