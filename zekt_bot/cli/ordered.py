"""`zekt subscriptions ordered`: send one after the other."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, get_args

import click

from zekt_bot.cli.options import acts
from zekt_bot.cli.subscription_names import channel_option, name, named_argument, shown
from zekt_bot.domain.subscriptions import Ordered, OrderedBy
from zekt_bot.operations.ordering import make_ordered

if TYPE_CHECKING:
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

    Names = tuple[str, ...]

_PLAIN = Ordered()


@click.command()
@named_argument
@channel_option
@click.option(
    "--after",
    "by",
    type=click.Choice(get_args(OrderedBy)),
    default=_PLAIN.by,
    show_default=True,
    help="Send the next once the former is dispatched, or once its run has ended.",
)
@click.option(
    "--within",
    "hours",
    type=click.FloatRange(0.1, 168),
    default=_PLAIN.within.total_seconds() / 3600,
    show_default=True,
    metavar="HOURS",
    help="How long to wait for the end of a run.",
)
@click.option("--stop", "stops", is_flag=True, help="Send nothing after one that went wrong.")
@click.option("--force", is_flag=True, help="Do not ask whether the end of a run could be known.")
@click.option("--off", is_flag=True, help="Send as they come.")
@acts
async def ordered(  # noqa: PLR0913, PLR0917 - click hands each option over
    broker: Broker,
    who: Principal,
    named: Names,
    channel: str,
    by: OrderedBy,
    hours: float,
    stops: bool,
    force: bool,
    off: bool,
) -> str:
    """Send what a subscription gets one after the other, in the order of the events.

    One that died, was blocked, or whose run failed is passed over; with --stop nothing follows it
    until this is said anew without it. With --after ended a workflow has to confirm what it gets,
    as for durable.
    """
    one = name(named, channel)
    service, repository = await shown(broker, who, one)
    wanted = None if off else Ordered(by, timedelta(hours=hours), stops)
    await make_ordered(broker, who, one, wanted, force=force)
    if wanted is None:
        return f"What {repository} gets of {service} is sent as it comes."
    return f"{repository} gets {service} in order, the next once the former is {by}."
