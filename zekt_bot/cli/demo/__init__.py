"""`zekt demo`: the whole broker on this machine, against a simulated GitHub."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zekt_bot.cli.errors import NOT_AS_IT_SHOULD_BE
from zekt_bot.cli.server import stop_signals

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


@click.command()
@click.option("--keep", is_flag=True, help="Leave it running, and say what to try.")
@click.option("--console", is_flag=True, help="Set a server up by its pages, in your browser.")
@click.pass_context
def demo(context: click.Context, keep: bool, console: bool) -> None:
    """Show the whole broker at work here, without GitHub.

    Two organizations, a provider and two consumers on a simulated GitHub; the real server on
    SQLite in a temporary folder. With act, two example workflows run for real. It exits with 1 if
    anything was not as it should be.
    """
    if console:
        asyncio.run(_walk())
    elif not asyncio.run(_demo(keep=keep)):
        context.exit(NOT_AS_IT_SHOULD_BE)


async def _demo(*, keep: bool) -> bool:
    from zekt_bot.cli.demo.circle import is_possible
    from zekt_bot.cli.demo.keep import keep_running
    from zekt_bot.cli.demo.stage import open_stage
    from zekt_bot.cli.demo.story import tell

    with stop_signals() as stop:
        async with open_stage(runs_files=is_possible()) as stage:
            good = await _unless(stop, tell(stage))
            if good is None:
                raise click.ClickException("Stopped before its end.")
            if keep:
                await _unless(stop, keep_running(stage))
    return good


async def _walk() -> None:
    from zekt_bot.cli.demo.console import open_door, say

    with stop_signals() as stop:
        async with open_door() as door:
            say(door)
            await stop.wait()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work gives; it is cancelled, and None, once `stop` is set."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    for task in (working, stopping):
        task.cancel()
    await asyncio.gather(working, stopping, return_exceptions=True)
    return None if working.cancelled() else working.result()
