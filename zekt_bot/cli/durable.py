"""`zekt subscriptions durable`: send again what no run of the consumer confirms."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from zekt_bot.cli.options import acts
from zekt_bot.cli.subscription_names import channel_option, name, named_argument, shown
from zekt_bot.domain.subscriptions import MOST_SENDS, Durable
from zekt_bot.operations.durability import make_durable

if TYPE_CHECKING:
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

    Names = tuple[str, ...]

_PLAIN = Durable()


@click.command()
@named_argument
@channel_option
@click.option(
    "--after",
    "minutes",
    type=click.IntRange(1, 10_080),
    default=int(_PLAIN.after.total_seconds() / 60),
    show_default=True,
    metavar="MINUTES",
    help="How long to wait for a run.",
)
@click.option(
    "--sends",
    type=click.IntRange(1, MOST_SENDS),
    default=_PLAIN.sends,
    show_default=True,
    help="How often to send in all; then it is dead.",
)
@click.option("--off", is_flag=True, help="Wait for no run.")
@click.option("--force", is_flag=True, help="Do not ask whether a run could confirm anything.")
@acts
async def durable(  # noqa: PLR0913, PLR0917 - click hands each option over
    broker: Broker,
    who: Principal,
    named: Names,
    channel: str,
    minutes: int,
    sends: int,
    off: bool,
    force: bool,
) -> str:
    """Send again what no run of the consumer confirms in time.

    A run confirms its delivery if its run-name has the delivery's id, or in a step: the Zekt Action
    with mode: receive. Without a workflow that has either this is refused; with --force all is sent
    as often as set, and then dead.
    """
    one = name(named, channel)
    service, repository = await shown(broker, who, one)
    wanted = None if off else Durable(timedelta(minutes=minutes), sends)
    await make_durable(broker, who, one, wanted, force=force)
    if wanted is None:
        return f"What {repository} gets of {service} is sent once."
    return (
        f"What {repository} gets of {service} is sent again after {minutes} minutes without a run "
        f"of it, {sends} times in all."
    )
