"""`zekt events`: the finished runs that Zekt heard of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli import session
from zekt_bot.cli.output import Column, as_json, print_json, print_table
from zekt_bot.operations.deliveries import MOST_ROWS, Page, list_events, show_event

if TYPE_CHECKING:
    from collections.abc import Mapping

limit_option = click.option(
    "--limit",
    type=click.IntRange(1, MOST_ROWS),
    default=50,
    show_default=True,
    help="How many at most.",
)


@click.group()
def events() -> None:
    """Events: finished workflow runs of enabled repositories."""


@events.command("list")
@limit_option
@click.option("--before", metavar="ID", help="Only those older than this one (the next page).")
@as_json
def list_(limit: int, before: str | None, json_: bool) -> None:
    """List events, newest first."""
    rows = session.run(lambda broker, who: list_events(broker, who, Page(limit, before)))
    if json_:
        print_json(rows)
    elif rows:
        print_table(_COLUMNS, rows)
    else:
        click.echo("No events yet.", err=True)


@events.command("show")
@click.argument("event_id", metavar="ID")
@as_json
def show(event_id: str, json_: bool) -> None:
    """Show the event ID (a run id, correlation id or event id).

    Its run, jobs, messages and deliveries.
    """
    found = session.run(lambda broker, who: show_event(broker, who, event_id))
    if json_:
        print_json(found)
        return
    print_table(_COLUMNS, [{**found, **{n: len(found[n]) for n in ("messages", "deliveries")}}])
    print_table(_JOBS, found["jobs"])
    print_table(_MESSAGES, found["messages"])
    print_table(_DELIVERIES, found["deliveries"])


def _state(row: Mapping[str, Any]) -> str:
    if row["blocked_reason"]:
        return f"blocked: {row['blocked_reason']}"
    return f"{row['state']}: {row['reason']}" if row["reason"] else str(row["state"])


_COLUMNS = (
    Column("run id", lambda row: row["id"]),
    Column("completed at", lambda row: row["completed_at"]),
    Column("repository", lambda row: row["full_name"]),
    Column("workflow", lambda row: row["workflow_name"]),
    Column("#", lambda row: row["run_number"], right=True),
    Column("conclusion", lambda row: row["conclusion"]),
    Column("state", _state),
    Column("messages", lambda row: row["messages"], right=True),
    Column("deliveries", lambda row: row["deliveries"], right=True),
)
_JOBS = (
    Column("job", lambda row: row["name"]),
    Column("status", lambda row: row["status"]),
    Column("conclusion", lambda row: row["conclusion"]),
)
_MESSAGES = (
    Column("message", lambda row: row["id"]),
    Column("event type", lambda row: row["event_type"]),
    Column("bytes", lambda row: row["size"], right=True),
)
_DELIVERIES = (
    Column("delivery", lambda row: row["id"]),
    Column("state", lambda row: row["state"]),
    Column("reason", lambda row: row["blocked_reason"] or row["reason"] or ""),
    Column("consumer", lambda row: row["target"]),
)
