"""`zekt subscriptions`: which consumer repositories hear of which services."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from zekt_bot.cli.options import acts, repository_argument, service_argument
from zekt_bot.operations import subscriptions as operations

if TYPE_CHECKING:
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker


@click.group()
def subscriptions() -> None:
    """Which consumer repositories hear of which services."""


@subscriptions.command("request")
@service_argument
@repository_argument
@acts
async def request(broker: Broker, who: Principal, service: str, repository: str) -> str:
    """Ask for OWNER/SLUG to reach OWNER/REPO, which is thereby enabled as a consumer."""
    await operations.request(broker, who, service, repository)
    return (
        f"{repository} has asked for {service}. Next, as its provider: "
        f"`zekt subscriptions approve {service} {repository}`."
    )


@subscriptions.command("approve")
@service_argument
@repository_argument
@acts
async def approve(broker: Broker, who: Principal, service: str, repository: str) -> str:
    """Approve what OWNER/REPO requested: events of OWNER/SLUG are dispatched to it."""
    await operations.approve(broker, who, service, repository)
    return f"{repository} is approved: it receives the events of {service}."
