"""`zekt workflows`: whose events may leave their repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.options import ENDINGS, acts, lists, path_argument, repository_argument, shows
from zekt_bot.cli.output import Column, print_facts
from zekt_bot.cli.services import RESTS
from zekt_bot.domain.catalog import CONCLUSIONS, Conditions
from zekt_bot.errors import NotFound
from zekt_bot.operations import workflows as operations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker

COLUMNS = (
    Column("path", "path"),
    Column("allowed", "allowed"),
    Column("service", lambda row: row["service"] or ""),
    Column("rests", lambda row: row["rests"] or ""),
    Column("name", "name", under="{}"),
    Column("at GitHub", lambda row: row["state"] or "not listed", under="at GitHub: {}"),
    Column("id", "id", right=True, under="{}"),
)


@click.group()
def workflows() -> None:
    """The workflows whose events may leave their repository."""


@workflows.command("list")
@repository_argument
@click.option("--allowed", is_flag=True, help="Only those that may send events.")
@lists("workflows", COLUMNS, key="path")
async def list_(
    broker: Broker, who: Principal, page: Page, repository: str, *, allowed: bool
) -> list[dict[str, Any]]:
    """List OWNER/REPO's workflows as GitHub has them, and which may send events; by path."""
    found = await operations.list_workflows(broker, who, repository)
    after = page.before or ""
    fit = [row for row in found if row["path"] > after and (row["allowed"] or not allowed)]
    return fit[: page.limit]


def tell(found: Mapping[str, Any]) -> None:
    """One workflow as people read it, with the conditions on which its runs may leave."""
    only = found["conditions"]
    facts = {
        "workflow": found["path"],
        "name": found["name"],
        "at GitHub": found["state"] or "not listed",
        "allowed": found["allowed"],
    }
    if only:
        facts |= {
            "branches": only["branches"] or "any",
            "started by": only["events"] or "any event but pull requests, reviews and comments",
            "ended as": only["conclusions"],
            "forks": only["forks"],
        }
    because = RESTS.get(found["rests"] or "")
    print_facts({**facts, "service": found["service"], "rests": because, "id": found["id"]})


@workflows.command("show")
@repository_argument
@path_argument
@shows(tell)
async def show(broker: Broker, who: Principal, repository: str, path: str) -> dict[str, Any]:
    """Show OWNER/REPO's workflow at PATH."""
    for row in await operations.list_workflows(broker, who, repository):
        if row["path"] == path:
            return row
    raise NotFound(f"{repository} has no workflow {path}: see `zekt workflows list {repository}`.")


@workflows.command("allow")
@repository_argument
@path_argument
@click.option(
    "--branch",
    "branches",
    multiple=True,
    metavar="PATTERN",
    help="Only runs on these branches: 'main', 'release/**'; '*' is anything but a slash, '**' "
    "anything. Repeat for more. Default: any.",
)
@click.option(
    "--event",
    "events",
    multiple=True,
    metavar="EVENT",
    help="Only runs that these events started; repeat for more. Default: all but pull requests, "
    "reviews and comments, which anybody can make.",
)
@click.option(
    "--conclusion",
    "conclusions",
    multiple=True,
    type=click.Choice(CONCLUSIONS),
    metavar="CONCLUSION",
    default=Conditions().conclusions,
    show_default=True,
    help=f"Only runs that end so; repeat for more: {ENDINGS}.",
)
@click.option("--forks", is_flag=True, help="Also runs whose code comes from a fork.")
@click.option("--force", is_flag=True, help="Even if GitHub does not list it (yet).")
@acts
async def allow(
    broker: Broker, who: Principal, repository: str, path: str, **conditions: Any
) -> str:
    """Put the workflow at PATH (.github/workflows/NAME.yml) on OWNER/REPO's allow-list.

    Given again, its conditions are replaced.
    """
    force = conditions.pop("force")
    new = await operations.allow(
        broker, who, repository, path, Conditions(**conditions), force=force
    )
    if not new:
        return f"{path} of {repository} was on the allow-list so already; nothing was changed."
    return (
        f"{path} of {repository} may send events. Next: "
        f"`zekt services publish {repository} {path} --slug SLUG`."
    )


@workflows.command("disallow")
@repository_argument
@path_argument
@acts
async def disallow(broker: Broker, who: Principal, repository: str, path: str) -> str:
    """Take the workflow at PATH off OWNER/REPO's allow-list: its runs leave no more."""
    if await operations.disallow(broker, who, repository, path):
        return f"{path} of {repository} sends no more events."
    return f"{path} of {repository} was not on the allow-list; nothing was changed."
