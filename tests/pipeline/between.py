"""Doing something between a decision's read and its write, as another process would."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from tests.db.rows import KEY
from zekt_bot import hookimpl
from zekt_bot.app import open_broker
from zekt_bot.db import mirror
from zekt_bot.domain.events import Envelope
from zekt_bot.plugins import Plugin
from zekt_bot.testing import ManualClock
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot.operations.broker import Broker

Answer = TypeVar("Answer")


class Between:
    """A plugin that acts between a decision's read and its write, `times` times.

    It acts when a `subject` (`Run`, `Envelope`, `Delivery`) is decided, and has no reason itself.
    """

    def __init__(self, subject: type, act: Callable[[], Any], times: int = 1) -> None:
        """Do nothing until it is asked."""
        self.subject, self.act, self.left = subject, act, times

    @hookimpl
    def zekt_block_reason(self, subject: object) -> None:
        """Act, and leave the decision to the others."""
        if isinstance(subject, self.subject) and self.left:
            self.left -= 1
            self.act()


class Raising:
    """A plugin that cannot decide about a kind of subject, until it is mended."""

    def __init__(self, subject: type) -> None:
        """Fail from now on."""
        self.subject: type | None = subject

    @hookimpl
    def zekt_block_reason(self, subject: object) -> None:
        """Fail, with a secret in what it says, or leave the decision to the others."""
        if self.subject and isinstance(subject, self.subject):
            raise RuntimeError(KEY)


async def aggregated(stage: Stage) -> None:
    """Aggregate while nobody can decide about events: they wait to be matched."""
    raising = Raising(Envelope)
    own = Plugin(f"raising-{id(raising)}", origin="built-in")
    stage.broker.plugins.registry.register(raising, own)
    assert await stage.aggregate() == {}
    raising.subject = None


def elsewhere(stage: Stage, work: Callable[[Broker], Coroutine[Any, Any, Answer]]) -> Answer:
    """Run `await work(broker)` with a broker of another loop; nothing else runs meanwhile."""

    async def run() -> Answer:
        other = ManualClock(stage.clock.now())
        async with open_broker(stage.broker.settings, other) as broker:
            return await work(broker)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


def interfere(
    stage: Stage,
    subject: type,
    work: Callable[[Broker], Coroutine[Any, Any, Any]],
    times: int = 1,
) -> Between:
    """Let another process do `work` while a `subject` is decided."""
    between = Between(subject, lambda: elsewhere(stage, work), times)
    # As a built-in it is called inline: the loop stands still, and no watch ends its call.
    stage.broker.plugins.registry.register(between, Plugin("between", origin="built-in"))
    return between


def writing(write: Callable[[Connection], object]) -> Callable[[Broker], Coroutine[Any, Any, None]]:
    """Write something; GitHub cannot be asked meanwhile, for its loop stands still too."""

    def unit(connection: Connection, rows: Sequence[None]) -> list[None]:
        write(connection)
        return [None] * len(rows)

    return lambda broker: broker.database.write(unit, None)


def suspending(installation_id: int) -> Callable[[Broker], Coroutine[Any, Any, None]]:
    """Suspend an installation, as GitHub's news does."""
    return writing(lambda c: mirror.set_installation_state(c, installation_id, "suspended", START))
