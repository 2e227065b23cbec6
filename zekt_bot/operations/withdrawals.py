"""Where consent is gone, what waits is decided on at once: it is blocked.

That it is never sent follows from the facts (`DeliveryPolicyFacts.withdrawn`), whenever it is
decided on; this lets people see it soon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.db import deliveries, mirror
from zekt_bot.db.deliveries import Hastening
from zekt_bot.domain.lanes import lane_of_installation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.operations.broker import Broker

_AT_ONCE = 500


async def look(broker: Broker, installation_id: int, repository_ids: Sequence[int]) -> None:
    """Hasten what waits for this installation, if consent is gone there or of one of these.

    Raises:
        StorageUnavailable.
    """
    if await broker.database.query(_gone, installation_id, repository_ids):
        await hasten(broker, installation_id)


async def hasten(broker: Broker, installation_id: int) -> None:
    """Let no delivery sleep, be on hold or stand in line if its consumer has taken back its yes.

    The policy is asked, as before every attempt, and blocks it.

    Raises:
        StorageUnavailable.
    """
    row = Hastening(lane_of_installation(installation_id), _AT_ONCE, broker.now())
    while await broker.database.write(deliveries.hasten, row, weight=_AT_ONCE) == _AT_ONCE:
        pass


def _gone(connection: Connection, installation_id: int, repository_ids: Sequence[int]) -> bool:
    if mirror.installation_state(connection, installation_id) != "active":
        return True
    known = mirror.repositories_by_id(connection, repository_ids).values()
    return any(one.obstacle or one.installation_id != installation_id for one in known)
