"""`zekt deliveries`: what was sent to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.options import Moment, acts, lists, shows
from zekt_bot.cli.output import Column
from zekt_bot.cli.timeline import tell
from zekt_bot.domain.deliveries import FINAL, STATES
from zekt_bot.domain.lists import DeliveryFilter
from zekt_bot.domain.replays import WHY, Wanted
from zekt_bot.operations import replay as operations
from zekt_bot.operations.deliveries import list_deliveries, show_delivery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker


def why(row: Mapping[str, Any]) -> str:
    """Why it stands where it stands, in a word or few."""
    return str(row["blocked_reason"] or row["waiting"] or row["reason"] or "")


COLUMNS = (
    Column("state", "state"),
    Column("created at", "created_at"),
    Column("service", "service"),
    Column("consumer", "target"),
    Column("delivery", "id", under="{}"),
    Column("reason", why, under="{}"),
    Column("event type", "event_type", under="{}"),
    Column("attempts", "attempts", right=True, under="attempts {}"),
)


@click.group()
def deliveries() -> None:
    """Deliveries: one event on its way to one consumer."""


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


@deliveries.command("replay")
@click.argument("delivery_id", metavar="[ID]", required=False)
@click.option("--service", metavar="OWNER/SLUG", help="Those of this service.")
@click.option("--repository", metavar="OWNER/REPO", help="Those to this consumer.")
@click.option("--subscription", metavar="ID", help="Those of this subscription.")
@click.option("--state", type=click.Choice(sorted(FINAL)), help="Only those in this state.")
@click.option(
    "--from", "since", type=Moment(), metavar="TIME", help="Only from then on: 24h, 2026-03-01."
)
@click.option("--to", "until", type=Moment(), metavar="TIME", help="Only before then.")
@click.option("--yes", is_flag=True, help="Send them; without it, many are only counted.")
@acts
async def replay(
    broker: Broker, who: Principal, delivery_id: str | None, *, yes: bool, **filters: Any
) -> str:
    """Send the delivery ID again, or all that fit; what is there stays as it is.

    Consumers see `isReplay: true` and a new `deliveryId`. Consent, pauses and pace count as ever.
    """
    named = any(value is not None for value in filters.values())
    if (delivery_id is None) is not named:
        raise click.UsageError("name one delivery, or say which: --service, --state, --from …")
    if delivery_id is not None:
        made = await operations.replay(broker, who, delivery_id)
        return f"It is sent again as {made}. Next: `zekt deliveries show {made}`."
    wanted = Wanted(**filters)
    if not yes:
        return _counted(await operations.count(broker, who, wanted))
    done = await operations.replay_many(broker, who, wanted)
    return f"{done['made']} are sent again, {done['left_out']} are not."


def _counted(found: operations.Count) -> str:
    """What would be sent and what would not, and how to go on."""
    states = ", ".join(f"{state} {many}" for state, many in sorted(found.states.items()))
    lines = [f"{found.total} would be sent again{f' ({states})' if states else ''}."]
    lines += [f"{many} would not: {WHY[why]}." for why, many in sorted(found.left_out.items())]
    if found.total:
        lines.append("Nothing was sent. To send them, add `--yes`.")
    return "\n".join(lines)
