"""What a consumer's run tells the audit when it proves what became of a delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.db.proofs import Proving
from zekt_bot.domain.audit import SYSTEM, Entry

if TYPE_CHECKING:
    from zekt_bot.domain.deliveries import DeliveryState
    from zekt_bot.domain.events import RunKey
    from zekt_bot.operations.broker import Broker

_MAY_PROVE: tuple[DeliveryState, ...] = ("confirmed", "completed", "failed")


async def proving(broker: Broker, key: RunKey) -> Proving:
    """An audit entry for each state that this run may prove.

    They are made before it is known which one counts: no plugin is called in a transaction.
    """
    details = {"run_id": key.run_id, "run_attempt": key.run_attempt}
    wanted = [Entry(f"zekt:delivery:{state}", SYSTEM, details=details) for state in _MAY_PROVE]
    entries = await broker.entries(wanted)
    told = dict(zip(_MAY_PROVE, entries, strict=True))
    return Proving(told, broker.now(), (key.run_id, key.run_attempt))
