"""GitHub did not let a dispatch through: does the App still cover that consumer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from zekt_bot.errors import Conflict, GitHubError, MalformedEvent, StorageUnavailable
from zekt_bot.operations.installations import look_at

if TYPE_CHECKING:
    from zekt_bot.db.outgoing import Work
    from zekt_bot.operations.broker import Broker

_log = structlog.get_logger()


async def doubt(broker: Broker, work: Work) -> None:
    """Write how GitHub says that it stands, so that what else waits for it need not try.

    The delivery is recorded: what goes wrong here is only logged.
    """
    consumer = work.facts.consumer
    try:
        await look_at(broker, consumer.installation_id or 0, consumer.id)
    except (GitHubError, MalformedEvent, Conflict, StorageUnavailable) as error:
        _log.info("delivery.not_looked_at", delivery_id=work.delivery.id, error=str(error))
