"""What GitHub's news bring with them beside the mirror: consent that ends, services that rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.db import transfers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zekt_bot.domain.catalog import Account
    from zekt_bot.operations.broker import Broker


async def foresee(
    broker: Broker, owners: Iterable[Account], moved: Iterable[tuple[int, int]] = ()
) -> transfers.Consequences:
    """What follows if these accounts have these logins, and own these repositories.

    `moved`: ids of a repository and of its owner. Plugins are asked here, before the write.

    Raises:
        StorageUnavailable.
    """
    plain = await broker.database.query(transfers.foreseen, tuple(owners), tuple(moved))
    return transfers.Consequences(
        broker.answer_by(), transfers.prepared(plain, await broker.entries(plain))
    )
