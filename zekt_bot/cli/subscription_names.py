"""How the command line names a subscription: by its two ends and its channel, or by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.domain.subscriptions import REPOSITORY_DISPATCH
from zekt_bot.errors import NotFound
from zekt_bot.operations import subscriptions as operations
from zekt_bot.operations.subscription_moves import parties

if TYPE_CHECKING:
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

    Names = tuple[str, ...]

channel_option = click.option(
    "--channel",
    metavar="NAME",
    default=REPOSITORY_DISPATCH,
    show_default=True,
    help="How it is delivered.",
)


def _check_named(_: click.Context, __: click.Parameter, words: Names) -> Names:
    if len(words) > 2:
        raise click.BadParameter("name it by OWNER/SLUG OWNER/REPO, or by its id.")
    return words


named_argument = click.argument(
    "named",
    nargs=-1,
    required=True,
    metavar="{OWNER/SLUG OWNER/REPO | ID}",
    callback=_check_named,
)


async def found(broker: Broker, who: Principal, named: Names, channel: str) -> dict[str, Any]:
    """The subscription that is named, by its id or by its ends."""
    if len(named) == 1:
        return await operations.show(broker, who, named[0])
    ends = await parties(broker, who, "subscription:read", named[0], named[1], channel)
    if ends.held is None:
        raise NotFound(f"{named[1]} has no subscription to {named[0]}: request it first.")
    return await operations.show(broker, who, ends.id)


async def key(broker: Broker, who: Principal, named: Names, channel: str) -> tuple[str, str, str]:
    """OWNER/SLUG, OWNER/REPO and the channel."""
    if len(named) == 2:
        return named[0], named[1], channel
    held = await operations.show(broker, who, named[0])
    return held["service"], held["consumer"], held["channel"]
