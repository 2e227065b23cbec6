"""What plugins took out of a message before it was stored: its column, sealed and opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from zekt_bot.domain.messages import Redaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zekt_bot.db.crypto import Keyring


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
