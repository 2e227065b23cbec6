"""Where consent is gone, what waits for a later try is decided on at once: it is blocked."""

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


async def hasten(broker: Broker, installation_id: int, repository_ids: Sequence[int]) -> None:
    """Let no delivery sleep until its next try if its consumer, in this installation, is gone.

    The policy is asked, as before every attempt, and blocks it. Else it would be sent if consent
    came back before its time.

    Raises:
        StorageUnavailable.
    """
    gone = await broker.database.query(_gone, installation_id, repository_ids)
    if gone == ():
        return
    lane = lane_of_installation(installation_id)
    row = Hastening(lane, gone, _AT_ONCE, broker.now())
    while await broker.database.write(deliveries.hasten, row, weight=_AT_ONCE) == _AT_ONCE:
        pass


def _gone(
    connection: Connection, installation_id: int, repository_ids: Sequence[int]
) -> tuple[int, ...] | None:
    """Those of the repositories without consent; None: all of the installation's."""
    if mirror.installation_state(connection, installation_id) != "active":
        return None
    known = mirror.repositories_by_id(connection, repository_ids).values()
    return tuple(one.id for one in known if one.obstacle or one.installation_id != installation_id)
