"""May this delivery go out? Asked before it is rendered, and anew right before every POST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zekt_bot.db import outgoing
from zekt_bot.errors import StorageUnavailable, Withheld

if TYPE_CHECKING:
    from zekt_bot.db.outgoing import Work
    from zekt_bot.domain.events import Blocked
    from zekt_bot.domain.pauses import Subject
    from zekt_bot.operations.broker import Broker


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a delivery does not go out now; nothing of it: another worker has it.

    `in_line`: others of its sequence go first.
    """

    blocked: Blocked | None = None
    error: Exception | None = None
    on_hold: Subject | None = None
    in_line: bool = False


async def ask(broker: Broker, work: Work) -> Refusal | None:
    """The policy's answer on the facts that were read; None: it may go out."""
    waits = None
    if work.on_hold or work.in_line:
        waits = Refusal(on_hold=work.on_hold, in_line=work.in_line)
    if waits and not work.facts.withdrawn:
        return waits
    try:
        blocked = await broker.plugins.block_reason(work.delivery, work.facts)
    except Exception as error:
        return Refusal(error=error)
    return Refusal(blocked) if blocked else waits  # a policy need not mind the withdrawal


class Permit:
    """Asked before each POST of an attempt, on facts as they are at that moment.

    It begins with work that the policy has let pass.

    `work` are the latest facts, `granted` counts the POSTs, `refusal` is the last answer.
    """

    def __init__(self, broker: Broker, work: Work) -> None:
        """Ask nothing yet."""
        self._broker = broker
        self.work = work
        self.granted = 0
        self.refusal: Refusal | None = None

    async def __call__(self) -> None:
        """Return if the POST may go out.

        Raises:
            Withheld: it may not; whatever a channel makes of it, `refusal` stands.
        """
        self.refusal = await self._ask()
        if self.refusal:
            raise Withheld
        self.granted += 1

    async def _ask(self) -> Refusal | None:
        database = self._broker.database
        try:
            if await database.ask(outgoing.stands, self.work):
                return None  # what was decided on these very facts
            found = await database.query(outgoing.reload, self.work)
        except StorageUnavailable as error:
            return Refusal(error=error)
        if found is None:
            return Refusal()
        self.work = found
        return await ask(self._broker, found)
