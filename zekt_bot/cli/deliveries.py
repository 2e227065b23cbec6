"""`zekt deliveries`: what was sent to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.options import lists, shows
from zekt_bot.cli.output import Column
from zekt_bot.cli.timeline import tell
from zekt_bot.domain.deliveries import STATES
from zekt_bot.domain.lists import DeliveryFilter
from zekt_bot.operations.deliveries import list_deliveries, show_delivery

if TYPE_CHECKING:
    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker

COLUMNS = (
    Column("state", "state"),
    Column("created at", "created_at"),
    Column("service", "service"),
    Column("consumer", "target"),
    Column("delivery", "id", under="{}"),
    Column("reason", lambda row: row["blocked_reason"] or row["reason"] or "", under="{}"),
    Column("event type", "event_type", under="{}"),
    Column("attempts", "attempts", right=True, under="attempts {}"),
)


@click.group()
def deliveries() -> None:
    """Deliveries: one event on its way to one consumer repository."""


@deliveries.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--service", metavar="OWNER/SLUG", help="Only those of this service.")
@click.option("--repository", metavar="OWNER/REPO", help="Only those to this consumer.")
@click.option("--correlation", "correlation_id", metavar="ID", help="Only those of this run.")
@lists("deliveries", COLUMNS)
async def list_(broker: Broker, who: Principal, page: Page, **filters: Any) -> list[dict[str, Any]]:
    """List deliveries, newest first."""
    return await list_deliveries(broker, who, page, DeliveryFilter(**filters))


@deliveries.command("show")
@click.argument("delivery_id", metavar="ID")
@shows(tell)
async def show(broker: Broker, who: Principal, delivery_id: str) -> dict[str, Any]:
    """Show the delivery ID: why it stands where it stands, its way, its attempts and history."""
    return await show_delivery(broker, who, delivery_id)
