"""`zekt messages`: what runs sent beside their events."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.deliveries import why
from zekt_bot.cli.options import lists, shows
from zekt_bot.cli.output import Column, console, harmless_json, print_facts, print_table
from zekt_bot.domain.lists import MessageFilter
from zekt_bot.domain.messages import Redaction
from zekt_bot.operations.message_lists import list_messages, list_refused, show_message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker


def became(row: Mapping[str, Any]) -> str:
    """What became of a message, in few words."""
    if row["blocked_reason"]:
        return f"blocked: {row['blocked_reason']}"
    if row["sent_on_at"] is None:
        return "waits for its run"
    made = row["deliveries"]
    number = made if isinstance(made, int) else len(made)
    return f"{number} {'delivery' if number == 1 else 'deliveries'}"


COLUMNS = (
    Column("created at", "created_at"),
    Column("event type", "event_type"),
    Column("repository", "full_name"),
    Column("bytes", "size", right=True),
    Column("became", became),
    Column("message", "id", under="{}"),
    Column(
        "workflow",
        lambda row: f"{row['workflow_name'] or '?'} #{row['run_number'] or '?'}",
        under="{}",
    ),
    Column("correlation", "correlation_id", under="{}"),
)


DELIVERIES = (
    Column("delivery", "id"),
    Column("state", "state"),
    Column("consumer", "target"),
    Column("reason", why, under="{}"),
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
    out = console()
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
            "Shield": f"encrypted, form {found['shield']}" if found["shield"] else None,
            "taken out": [str(Redaction(**each)) for each in found["redactions"]],
            "became": became(found),
            "kept away": f"{found['filtered']} by filters" if found["filtered"] else None,
        },
        out,
    )
    if found["deliveries"]:
        out.print()
        print_table(DELIVERIES, found["deliveries"], out)


@messages.command("show")
@click.argument("message_id", metavar="ID")
@click.option("--body", is_flag=True, help="Print what it says, byte for byte.")
@shows(tell)
async def show(broker: Broker, who: Principal, message_id: str, *, body: bool) -> dict[str, Any]:
    """Show the message ID (its own id, or that of the event it travels in).

    What it says is shown only if asked for: it is its provider's.
    """
    return await show_message(broker, who, message_id, body=body)
