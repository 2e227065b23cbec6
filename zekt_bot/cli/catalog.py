"""`zekt repositories`, `workflows`, `services` and `subscriptions`: who may send what to whom."""

from __future__ import annotations

from typing import Any

import click

from zekt_bot.cli import session
from zekt_bot.domain.catalog import CONCLUSIONS, Conditions, Profile
from zekt_bot.domain.events import DEFAULT_EVENT_TYPE
from zekt_bot.operations import repositories as taking_part
from zekt_bot.operations import services as offers
from zekt_bot.operations import subscriptions as wishes
from zekt_bot.operations import workflows as allow_list
from zekt_bot.operations.services import Publication

repository_argument = click.argument("repository", metavar="OWNER/REPO")
path_argument = click.argument("path", metavar="PATH")
service_argument = click.argument("service", metavar="OWNER/SLUG")


@click.group()
def repositories() -> None:
    """Repositories that take part."""


@repositories.command("enable")
@repository_argument
def enable(repository: str) -> None:
    """Enable OWNER/REPO as a provider.

    From then on Zekt hears of its workflow runs. The App must be installed on it; a repository
    that Zekt has not heard of is looked up at GitHub.
    """
    enabled = session.run(lambda broker, who: taking_part.enable(broker, who, repository))
    click.echo(
        f"{enabled.full_name} is enabled as a provider. Next: "
        f"`zekt workflows allow {enabled.full_name} .github/workflows/NAME.yml`."
    )


@click.group()
def workflows() -> None:
    """The workflows whose events may leave their repository."""


@workflows.command("allow")
@repository_argument
@path_argument
@click.option(
    "--branch",
    "branches",
    multiple=True,
    metavar="PATTERN",
    help="Only runs on these branches: 'main', 'release/**'; repeat for more. Default: any.",
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
    default=Conditions().conclusions,
    show_default=True,
    help="Only runs that end so; repeat for more.",
)
@click.option("--forks", is_flag=True, help="Also runs whose code comes from a fork.")
@click.option("--force", is_flag=True, help="Even if GitHub lists no workflow at PATH yet.")
def allow(repository: str, path: str, *, force: bool, **conditions: Any) -> None:
    """Put the workflow at PATH (.github/workflows/NAME.yml) on OWNER/REPO's allow-list.

    Given again, its conditions are replaced. GitHub must list it, unless --force is given.
    """
    new = session.run(
        lambda broker, who: allow_list.allow(
            broker, who, repository, path, Conditions(**conditions), force=force
        )
    )
    click.echo(
        f"{path} of {repository} may send events. Next: "
        f"`zekt services publish {repository} {path} --slug SLUG`."
        if new
        else f"{path} of {repository} was on the allow-list so already; nothing was changed."
    )


@click.group()
def services() -> None:
    """The services that providers publish."""


@services.command("publish")
@repository_argument
@path_argument
@click.option("--slug", required=True, metavar="SLUG", help="Its short name: a-z, 0-9, hyphens.")
@click.option(
    "--event-type",
    "event_types",
    multiple=True,
    default=(DEFAULT_EVENT_TYPE,),
    show_default=True,
    metavar="TYPE",
    help="An event type that it may send; repeat for more, '*' for any.",
)
def publish(repository: str, path: str, slug: str, event_types: tuple[str, ...]) -> None:
    """Publish OWNER/REPO's workflow at PATH as the service OWNER/SLUG."""
    wanted = Publication(path, slug, Profile(event_types=event_types))
    made = session.run(lambda broker, who: offers.publish(broker, who, repository, wanted))
    click.echo(
        f"{made.name} is published; it may send {', '.join(made.profile.event_types)}. "
        f"Next: `zekt subscriptions request {made.name} OWNER/REPO`."
    )


@click.group()
def subscriptions() -> None:
    """Which consumer repositories hear of which services."""


@subscriptions.command("request")
@service_argument
@repository_argument
def request(service: str, repository: str) -> None:
    """Ask for OWNER/SLUG to reach OWNER/REPO, which is thereby enabled as a consumer."""
    session.run(lambda broker, who: wishes.request(broker, who, service, repository))
    click.echo(
        f"{repository} has asked for {service}. Next, as its provider: "
        f"`zekt subscriptions approve {service} {repository}`."
    )


@subscriptions.command("approve")
@service_argument
@repository_argument
def approve(service: str, repository: str) -> None:
    """Approve what OWNER/REPO requested: events of OWNER/SLUG are dispatched to it."""
    session.run(lambda broker, who: wishes.approve(broker, who, service, repository))
    click.echo(f"{repository} is approved: it receives the events of {service}.")
