"""`zekt pause`, `zekt resume` and `zekt pauses`: sending, put on hold by the operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.options import acts, lists
from zekt_bot.cli.output import Column
from zekt_bot.domain.pauses import EVERYTHING
from zekt_bot.operations import pauses as operations
from zekt_bot.operations.pauses import Target
from zekt_bot.operations.visibility import all_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker


def _what(row: Mapping[str, Any]) -> str:
    everything = row["subject"] == EVERYTHING
    return str(row["name"] if everything else f"{row['kind']} {row['name']}")


COLUMNS = (
    Column("on hold", _what),
    Column("since", "at"),
    Column("by", "by", under="by {}"),
    Column("id", "subject", under="{}"),
)
_TARGET = (
    click.option("--account", metavar="LOGIN", help="Only what leaves or reaches this account."),
    click.option("--service", metavar="OWNER/SLUG", help="Only what this service sends."),
    click.option("--subscription", metavar="ID", help="Only what this subscription receives."),
)


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is put on hold; none of them: everything."""
    for option in reversed(_TARGET):
        command = option(command)
    return command


def _words(target: Target) -> str:
    chosen = [target.account, target.service, target.subscription]
    return next((each for each in chosen if each), "everything")


@click.command()
@target_options
@acts
async def pause(broker: Broker, who: Principal, **target: Any) -> str:
    """Put sending on hold: of everything, or of what is named.

    Events go on coming in; their deliveries wait.
    """
    wanted = Target(**target)
    if not await operations.pause(broker, who, wanted):
        return f"Sending of {_words(wanted)} was on hold already."
    options = "".join(f" --{name} {value}" for name, value in target.items() if value)
    return f"Sending of {_words(wanted)} is on hold. `zekt resume{options}` ends that."


@click.command()
@target_options
@acts
async def resume(broker: Broker, who: Principal, **target: Any) -> str:
    """Let sending go on, with what waited for it."""
    wanted = Target(**target)
    waited = await operations.resume(broker, who, wanted)
    if waited is None:
        return f"Sending of {_words(wanted)} was not on hold; see `zekt pauses list`."
    return f"Sending of {_words(wanted)} goes on; {waited} deliveries had waited."


@click.group()
def pauses() -> None:
    """What is on hold."""


@pauses.command("list")
@lists("pauses", COLUMNS, key="subject")
async def list_(broker: Broker, who: Principal, page: Page) -> list[dict[str, Any]]:
    """List what is on hold, the longest first."""
    found = all_shown(await operations.list_pauses(broker, who))
    subjects = [row["subject"] for row in found]
    start = subjects.index(page.before) + 1 if page.before in subjects else 0
    return found[start : start + page.limit]
