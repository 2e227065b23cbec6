"""How the command line names a subscription: by its two ends and its channel, or by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zekt_bot.domain.subscriptions import REPOSITORY_DISPATCH
from zekt_bot.operations.subscription_lists import show
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.subscription_parties import Named

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


def name(words: Names, channel: str) -> Named:
    """The subscription's ends, or its id."""
    return words[0] if len(words) == 1 else Ends(words[0], words[1], channel)


async def shown(broker: Broker, who: Principal, named: Named) -> tuple[str, str]:
    """OWNER/SLUG and OWNER/REPO, for people to read."""
    if isinstance(named, Ends):
        return named.service, named.repository
    held = await show(broker, who, named)
    return held["service"], held["consumer"]
