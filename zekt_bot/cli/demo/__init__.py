"""`zekt demo`: the whole broker on this machine, against a simulated GitHub."""

from __future__ import annotations

import asyncio

import click

from zekt_bot.cli.errors import BUG


@click.command()
@click.option("--keep", is_flag=True, help="Leave it running, and say what to try.")
@click.pass_context
def demo(context: click.Context, keep: bool) -> None:
    """Show the whole broker at work on this machine, without GitHub.

    Two organizations, a provider and two consumers on a simulated GitHub; the real server on
    SQLite in a temporary folder. It exits with 1 if anything was not as it should be.
    """
    if not asyncio.run(_demo(keep=keep)):
        context.exit(BUG)


async def _demo(*, keep: bool) -> bool:
    from zekt_bot.cli.demo.keep import keep_running
    from zekt_bot.cli.demo.stage import open_stage
    from zekt_bot.cli.demo.story import tell

    async with open_stage() as stage:
        good = await tell(stage)
        if keep:
            await keep_running(stage)
    return good
