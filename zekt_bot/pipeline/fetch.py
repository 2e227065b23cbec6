"""A message that was too large to be sent, as the consumer's run fetches it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zekt_bot.db import audit, outgoing
from zekt_bot.domain.access import Resource, decide
from zekt_bot.errors import AccessDenied, Gone, NotFound, Unsendable
from zekt_bot.pipeline.letters import open_letter

if TYPE_CHECKING:
    from zekt_bot.db.outgoing import Work
    from zekt_bot.domain.access import WorkflowRun
    from zekt_bot.operations.broker import Broker

_ID = re.compile(r"msg_[0-9a-z]{26}")


async def fetch(broker: Broker, principal: WorkflowRun, message_id: str) -> bytes:
    """The message's JSON, as the newest delivery of it to the calling run's repository carries it.

    The policy is asked as before a POST. Of an encrypted one it is what is this consumer's own.

    Raises:
        NotFound: no delivery to this repository carries it, or a plugin changes it on the way.
        AccessDenied: the policy would not let it go there now.
        Gone: it was deleted by age.
        PluginFailed, StorageUnavailable, DecryptionFailed.
    """
    here = principal.key.repository_id
    decide(principal, "message:fetch", Resource(consumer=here))
    work = await _carrying(broker, here, message_id)
    blocked = await broker.plugins.block_reason(work.delivery, work.facts)
    if blocked:
        raise AccessDenied(f"The message goes to this repository no longer: {blocked.reason}.")
    if not work.message_body:
        raise Gone("The message was deleted by age (ZEKT_PAYLOAD_DAYS).")
    try:
        letter = await open_letter(broker, work)
    except Unsendable:
        raise _unknown() from None
    if letter.message_body is None or letter.changed is not None:
        raise _unknown()
    entry = await broker.entry(
        "run:message:fetched",
        principal.actor,
        correlation_id=work.run.correlation_id,
        delivery_id=work.delivery.id,
        account_id=work.facts.consumer.account_id,
        repository_id=here,
        details={"message": message_id, "run_id": principal.key.run_id},
    )
    await broker.database.write(audit.record_all, entry)
    return letter.message_body


async def _carrying(broker: Broker, repository_id: int, message_id: str) -> Work:
    if not _ID.fullmatch(message_id):
        raise _unknown()
    found = await broker.database.query(outgoing.carrying, repository_id, message_id)
    if found is None:
        raise _unknown()
    return found


def _unknown() -> NotFound:
    return NotFound("No delivery to this repository carries that message by its address.")
