"""`zekt repositories`: which of them take part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.options import acts, lists, repository_argument, shows
from zekt_bot.cli.output import Column, print_facts
from zekt_bot.domain.lists import RepositoryFilter
from zekt_bot.operations import repositories as operations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker

    Row = Mapping[str, Any]


def _part(row: Row) -> str:
    parts = [part for part in ("provider", "consumer") if row[part]]
    return " and ".join(parts) or "disabled"


# Why nothing is received from a repository or sent to it, as people read it.
OBSTACLES = {
    "account_blocked": "account blocked",
    "not_installed": "App not installed",
    "app_suspended": "App suspended",
    "archived": "archived",
    "permission_missing": "a permission waits to be accepted",
}


def _obstacle(row: Row) -> str:
    return OBSTACLES.get(row["obstacle"] or "", "")


COLUMNS = (
    Column("repository", "repository"),
    Column("takes part as", _part),
    Column("obstacle", _obstacle),
    Column("private", "private", under="private: {}"),
    Column("id", "id", right=True, under="{}"),
)

as_consumer = click.option(
    "--as-consumer", "part", flag_value="consumer", default="provider", help="As a consumer."
)


@click.group()
def repositories() -> None:
    """Repositories that take part."""


@repositories.command("list")
@click.option("--owner", metavar="LOGIN", help="Only those of this account.")
@click.option(
    "--part", type=click.Choice(("provider", "consumer")), help="Only those enabled as this."
)
@lists("repositories", COLUMNS, key="repository")
async def list_(broker: Broker, who: Principal, page: Page, **filters: Any) -> list[dict[str, Any]]:
    """List the repositories that Zekt has heard of, by name."""
    wanted = RepositoryFilter(**filters)
    return await operations.list_repositories(broker, who, page, wanted)


def tell(found: Row) -> None:
    """One repository as people read it."""
    print_facts(
        {
            "repository": found["repository"],
            "takes part as": _part(found),
            "obstacle": _obstacle(found),
            "visible to": "its own people" if found["private"] else "everybody",
            "id": found["id"],
        }
    )


@repositories.command("show")
@repository_argument
@shows(tell)
async def show(broker: Broker, who: Principal, repository: str) -> dict[str, Any]:
    """Show OWNER/REPO: whether it takes part, and what Zekt may do to it."""
    return await operations.show(broker, who, repository)


@repositories.command("enable")
@repository_argument
@as_consumer
@acts
async def enable(broker: Broker, who: Principal, repository: str, part: Any) -> str:
    """Enable OWNER/REPO as a provider, or as a consumer.

    From then on Zekt hears of a provider's workflow runs, and may start those of a consumer. The
    App must be installed on it; a repository that Zekt has not heard of is looked up at GitHub.
    """
    name = (await operations.enable(broker, who, repository, part)).full_name
    after = {
        "provider": f"zekt workflows allow {name} .github/workflows/NAME.yml",
        "consumer": f"zekt subscriptions request OWNER/SLUG {name}",
    }
    return f"{name} is enabled as a {part}. Next: `{after[part]}`."


@repositories.command("disable")
@repository_argument
@as_consumer
@acts
async def disable(broker: Broker, who: Principal, repository: str, part: Any) -> str:
    """Disable OWNER/REPO as a provider, or as a consumer.

    Nothing leaves it, or reaches it, until it is enabled again; what it published, allowed and
    subscribed to stays.
    """
    name = (await operations.disable(broker, who, repository, part)).full_name
    back = f"zekt repositories enable {name}{' --as-consumer' if part == 'consumer' else ''}"
    return f"{name} is disabled as a {part}. `{back}` brings it back."
