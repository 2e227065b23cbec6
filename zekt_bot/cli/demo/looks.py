"""Looks at what became of the demo's deeds, each until it is there or patience ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zekt_bot.cli.session import operator
from zekt_bot.db import mirror
from zekt_bot.domain.lists import Page
from zekt_bot.operations.deliveries import list_deliveries
from zekt_bot.operations.events import list_events

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from zekt_bot.cli.demo.stage import Stage
    from zekt_bot.testing import Dispatch, Installation, Repository, WorkflowRun

    Row = Mapping[str, Any]
    Rows = list[dict[str, Any]]

T = TypeVar("T")
_SETTLED = {"dispatched", "blocked", "dead"}


async def knows(stage: Stage, installation: Installation) -> bool:
    """Whether the installation's webhook reached the mirror."""

    async def there() -> bool:
        seen = await stage.broker.database.query(mirror.seen, installation.id, ())
        return seen.installation[installation.id] is not None

    return await _last(stage, there, bool)


async def event(stage: Stage, run: WorkflowRun) -> Row:
    """The row of a run, once Zekt is done with it."""

    async def found() -> Rows:
        rows = await list_events(stage.broker, operator(), Page())
        return [row for row in rows if row["run_id"] == run.id and row["state"] == "done"]

    return (await _wanted(stage, found, bool, f"the event of {run.workflow.name}"))[0]


async def deliveries(stage: Stage, event: Row) -> Rows:
    """An event's two deliveries, once each has ended."""

    async def found() -> Rows:
        rows = await list_deliveries(stage.broker, operator(), Page())
        return [row for row in rows if row["correlation_id"] == event["correlation_id"]]

    def settled(rows: Rows) -> bool:
        return len(rows) == 2 and all(row["state"] in _SETTLED for row in rows)

    return await _wanted(stage, found, settled, f"the deliveries of {event['correlation_id']}")


def sent(stage: Stage, delivery: Row) -> Dispatch | None:
    """The dispatch of a delivery, if GitHub took exactly one."""
    taken = [
        one
        for one in stage.world.github.dispatches
        if one.repository.full_name == delivery["target"]
        and one.client_payload["zekt"]["deliveryId"] == delivery["id"]
    ]
    return taken[0] if len(taken) == 1 else None


async def consumed(stage: Stage, dispatch: Dispatch) -> WorkflowRun | None:
    """The consumer's run that a dispatch started, once it has ended; None if it never does."""
    github, consumer = stage.world.github, dispatch.repository
    nth = [d for d in github.dispatches if d.repository is consumer].index(dispatch)

    async def found() -> list[WorkflowRun]:
        own = [one for one in github.runs if one.repository is consumer]
        own = [one for one in own if one.event == "repository_dispatch"]
        return [one for one in own[nth : nth + 1] if one.status == "completed"]

    return next(iter(await _last(stage, found, bool)), None)


async def ended(stage: Stage, consumer: Repository) -> WorkflowRun | None:
    """The consumer's one run, once it has ended; None if it never does."""

    async def found() -> list[WorkflowRun]:
        runs = stage.world.github.core.world.runs_of(consumer)
        return [run for run in runs if run.status == "completed"]

    return next(iter(await _last(stage, found, bool)), None)


async def completed(stage: Stage, consumer: Repository) -> Row | None:
    """The one delivery to a consumer, once it is completed; None if it never is."""

    async def found() -> Rows:
        rows = await list_deliveries(stage.broker, operator(), Page())
        own = [row for row in rows if row["target"] == consumer.full_name]
        return [row for row in own if row["state"] == "completed"]

    return next(iter(await _last(stage, found, bool)), None)


async def _wanted(
    stage: Stage, look: Callable[[], Awaitable[T]], done: Callable[[T], bool], what: str
) -> T:
    """What `look` gives, once it is as wanted.

    Raises:
        ClickException: it never was.
    """
    found = await _last(stage, look, done)
    if not done(found):
        raise click.ClickException(f"Waited {stage.patience:.0f} s in vain for {what}.")
    return found


async def _last(stage: Stage, look: Callable[[], Awaitable[T]], done: Callable[[T], bool]) -> T:
    """What `look` gives, once it is as wanted or patience has ended."""
    loop = asyncio.get_running_loop()
    until = loop.time() + stage.patience
    while not done(found := await look()) and loop.time() < until:
        await asyncio.sleep(0.05)
    return found
