"""`zekt messages`: what runs sent beside their events."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.options import lists, shows
from zekt_bot.cli.output import Column, harmless_json, print_facts
from zekt_bot.domain.lists import MessageFilter
from zekt_bot.operations.messages import list_messages, list_refused, show_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker

COLUMNS = (
    Column("created at", "created_at"),
    Column("event type", "event_type"),
    Column("repository", "full_name"),
    Column("bytes", "size", right=True),
    Column("message", "id", under="{}"),
    Column(
        "workflow",
        lambda row: f"{row['workflow_name'] or '?'} #{row['run_number'] or '?'}",
        under="{}",
    ),
    Column("correlation", "correlation_id", under="{}"),
)


REFUSED = (
    Column("last", "last_at"),
    Column("reason", "reason"),
    Column("times", "times", right=True),
    Column("repository", "full_name"),
    Column("event type", "event_type", under="{}"),
    Column("bytes", "size", right=True),
    Column("workflow", lambda row: row["workflow_path"] or "another repository's", under="{}"),
    Column("run", lambda row: f"run {row['run_id']}, attempt {row['run_attempt']}", under="{}"),
    Column("id", "id", under="{}"),
)


@click.group()
def messages() -> None:
    """Messages: JSON that a run sent beside its event."""


@messages.command("list")
@click.option("--repository", metavar="OWNER/REPO", help="Only those of this provider's runs.")
@click.option("--event-type", metavar="TYPE", help="Only those of this event type.")
@click.option("--correlation", "correlation_id", metavar="ID", help="Only those of this run.")
@lists("messages", COLUMNS)
async def list_(broker: Broker, who: Principal, page: Page, **filters: Any) -> list[dict[str, Any]]:
    """List messages without their bodies, newest first."""
    return await list_messages(broker, who, page, MessageFilter(**filters))


@messages.command("refused")
@click.option("--repository", metavar="OWNER/REPO", help="Only those of this repository's runs.")
@click.option("--event-type", metavar="TYPE", help="Only those of this event type.")
@lists("refused messages", REFUSED)
async def refused(
    broker: Broker, who: Principal, page: Page, **filters: Any
) -> list[dict[str, Any]]:
    """List messages that were not taken, newest first: each run's once for each reason."""
    return await list_refused(broker, who, page, MessageFilter(**filters))


def tell(found: Mapping[str, Any]) -> None:
    """One message as people read it; of one with its body, the body alone."""
    if "body" in found:
        body = str(found["body"])
        click.echo(harmless_json(body) if sys.stdout.isatty() else body)
        return
    print_facts(
        {
            "message": found["id"],
            "event type": found["event_type"],
            "bytes": found["size"],
            "sha256": found["sha256"],
            "stored": found["created_at"],
            "run": f"{found['full_name']} · {found['workflow_name']} #{found['run_number']}",
            "at GitHub": found["html_url"],
            "event": found["envelope_id"],
            "correlation": found["correlation_id"],
            "taken out": [f"{each['kind']} at {each['path']}" for each in found["redactions"]],
        }
    )


@messages.command("show")
@click.argument("message_id", metavar="ID")
@click.option("--body", is_flag=True, help="Print what it says, byte for byte.")
@shows(tell)
async def show(broker: Broker, who: Principal, message_id: str, *, body: bool) -> dict[str, Any]:
    """Show the message ID (its own id, or that of the event it travels in).

    What it says is shown only if asked for: it is its provider's.
    """
    return await show_message(broker, who, message_id, body=body)
