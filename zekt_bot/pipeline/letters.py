"""What a delivery is made of: opened, what is this consumer's own, and as plugins change it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import orjson

from zekt_bot.domain.shield import envelope_for
from zekt_bot.errors import NoRecipient, PluginFailed
from zekt_bot.pipeline.render import NOWHERE, Fetch, Letter

if TYPE_CHECKING:
    from zekt_bot.db.outgoing import Work
    from zekt_bot.domain.deliveries import Delivery
    from zekt_bot.domain.events import Envelope, Message
    from zekt_bot.operations.broker import Broker


async def open_letter(broker: Broker, work: Work) -> Letter:
    """All that `render` needs of one leased delivery.

    Raises:
        PluginFailed, DecryptionFailed.
        NoRecipient: the message is encrypted, and not for this consumer.
    """
    keyring, service = broker.database.keyring, work.facts.service
    if service is None:
        raise PluginFailed("No plugin blocked a delivery whose service is gone.")
    metadata = keyring.open(("envelopes", "body", work.envelope.id), work.envelope_body)
    body, changed, fetch = None, None, NOWHERE
    if work.message and work.message_body is not None:
        body = keyring.open(("messages", "body", work.message.id), work.message_body)
        if work.message.shield:
            body = _own(body, work.delivery)
        sent = await broker.plugins.transform(body, work.envelope, work.delivery)
        changed = None if sent == body else sent
        fetch = _fetch(broker, work.message, work.envelope)
    return Letter(
        delivery=work.delivery,
        envelope=work.envelope,
        run=work.run,
        service=service,
        metadata=orjson.loads(metadata),
        message=work.message,
        message_body=body,
        changed=changed,
        fetch=fetch,
    )


def _own(envelope: bytes, delivery: Delivery) -> bytes:
    own = envelope_for(envelope, delivery.cause_id)
    if own is None:
        raise NoRecipient
    return own


def _fetch(broker: Broker, message: Message, envelope: Envelope) -> Fetch:
    """Where the consumer's run finds a message that is too large, and how long at least."""
    days = broker.settings.payload_days
    until = envelope.created_at + timedelta(days=days) if days else None
    return Fetch(f"{broker.settings.public_url}/api/messages/{message.id}", until)
