"""`zekt operators`: who may do everything on this server by signing in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.options import acts, lists
from zekt_bot.cli.output import Column
from zekt_bot.operations import operators as operations

if TYPE_CHECKING:
    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker

COLUMNS = (
    Column("login", "login"),
    Column("made by", "made_by"),
    Column("since", lambda row: row["since"] or ""),
    Column("id", lambda row: row["id"] or "", right=True),
)


@click.group()
def operators() -> None:
    """Operators: who may do everything here by signing in."""


@operators.command("list")
@lists("operators", COLUMNS, key="login")
async def list_(broker: Broker, who: Principal, page: Page) -> list[dict[str, Any]]:
    """List operators by login: those of the setup and of ZEKT_OPERATORS."""
    after = page.before or ""
    return await operations.list_operators(broker, who, limit=page.limit, after=after)


@operators.command("remove")
@click.argument("name", metavar="LOGIN")
@acts
async def remove(broker: Broker, who: Principal, name: str) -> str:
    """Let LOGIN be an operator no longer, at once.

    They stay signed in, as anybody else. `zekt accounts block` shuts them out.
    """
    await operations.remove(broker, who, name)
    left = await operations.list_operators(broker, who, limit=1)
    alone = "" if left else " There is none left: set ZEKT_OPERATORS, or `zekt setup-link --again`."
    return f"{name} is an operator no more.{alone}"
