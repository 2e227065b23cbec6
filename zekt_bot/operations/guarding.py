"""What plugins make of a message before it is stored, and what they took out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.db import audit
from zekt_bot.domain.messages import Redaction
from zekt_bot.errors import MessageRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from zekt_bot.db.crypto import Keyring
    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.messages import Accepted, IncomingMessage, MessagePolicy
    from zekt_bot.operations.broker import Broker


async def accept(
    broker: Broker, principal: Principal, message: IncomingMessage, policy: MessagePolicy
) -> Accepted:
    """The message as it is to be stored. Of one that is refused the audit is told.

    Raises:
        MessageRefused, PluginFailed, StorageUnavailable.
    """
    try:
        return await broker.plugins.accept_message(message, policy)
    except MessageRefused as error:
        entry = await broker.entry(
            "run:message:refused",
            principal.actor,
            account_id=policy.repository.account_id,
            repository_id=policy.repository.id,
            details=error.data,
        )
        await broker.database.write(_tell, entry)
        raise


def _tell(connection: Connection, rows: Sequence[Entry]) -> list[None]:
    for entry in rows:
        audit.record(connection, entry)
    return [None] * len(rows)


def sealed(
    keyring: Keyring, message_id: str, redactions: Sequence[Redaction]
) -> dict[str, bytes | None]:
    """Their column: the names of a message's keys are its content too."""
    if not redactions:
        return {"redactions": None}
    told = orjson.dumps([[each.path, each.kind] for each in redactions])
    return {"redactions": keyring.seal(("messages", "redactions", message_id), told)}


def opened(keyring: Keyring, row: Mapping[Any, Any]) -> tuple[Redaction, ...]:
    """What was taken out of a message that is stored; raises DecryptionFailed."""
    if row["redactions"] is None:
        return ()
    told = keyring.open(("messages", "redactions", row["id"]), row["redactions"])
    return tuple(Redaction(path, kind) for path, kind in orjson.loads(told))
