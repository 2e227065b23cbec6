"""`zekt deliveries`: what was sent to whom, and all that happened on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from rich.table import Table
from rich.text import Text

from zekt_bot.cli import session
from zekt_bot.cli.events import limit_option
from zekt_bot.cli.output import Column, as_json, cell, console, print_json, print_table
from zekt_bot.domain.deliveries import STATES
from zekt_bot.operations.deliveries import Page, list_deliveries, show_delivery

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@click.group()
def deliveries() -> None:
    """Deliveries: one event on its way to one consumer repository."""


@deliveries.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@limit_option
@click.option("--before", metavar="ID", help="Only those older than this one (the next page).")
@as_json
def list_(state: str | None, limit: int, before: str | None, json_: bool) -> None:
    """List deliveries, newest first."""
    page = Page(limit, before, state)
    rows = session.run(lambda broker, who: list_deliveries(broker, who, page))
    if json_:
        print_json(rows)
    elif rows:
        print_table(_COLUMNS, rows)
    else:
        click.echo("No such deliveries." if state or before else "No deliveries yet.", err=True)


@deliveries.command("show")
@click.argument("delivery_id", metavar="ID")
@as_json
def show(delivery_id: str, json_: bool) -> None:
    """Show the delivery ID: where it stands, its attempts and its history."""
    found = session.run(lambda broker, who: show_delivery(broker, who, delivery_id))
    if json_:
        print_json(found)
        return
    out = console()
    out.print(_facts(found))
    out.print()
    out.print(timeline(found))


def _service(row: Mapping[str, Any]) -> str:
    return f"{row['service_owner'] or '?'}/{row['slug'] or '?'}"


def _state(row: Mapping[str, Any]) -> Text:
    text = cell(row["state"])
    for why in (row["blocked_reason"], row["reason"]):
        if why:
            text.append(": ").append(cell(why))
    if row["waits_for"]:
        text.append(f" (waits for {row['waits_for']})")
    return text


_COLUMNS = (
    Column("delivery", lambda row: row["id"]),
    Column("created at", lambda row: row["created_at"]),
    Column("state", lambda row: row["state"]),
    Column("reason", lambda row: row["blocked_reason"] or row["reason"] or ""),
    Column("event type", lambda row: row["event_type"]),
    Column("service", _service),
    Column("consumer", lambda row: row["target"]),
    Column("attempts", lambda row: row["attempts"], right=True),
)


def _facts(row: Mapping[str, Any]) -> Table:
    """What one would ask first, a line each."""
    facts: dict[str, Any] = {
        "delivery": row["id"],
        "state": _state(row),
        "event type": row["event_type"],
        "event": row["envelope"],
        "correlation": row["correlation_id"],
        "run": f"{row['source']} · {row['workflow_name']} #{row['run_number']}",
        "at GitHub": row["html_url"],
        "service": _service(row),
        "consumer": row["target"],
        "created": row["created_at"],
        "dispatched": row["dispatched_at"],
    }
    if row["waits_until"]:
        facts["due"] = row["waits_until"]
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value if isinstance(value, Text) else cell(value))
    return table


def timeline(row: Mapping[str, Any]) -> Table:
    """Attempts and history in one line of time, with the seconds since its beginning."""
    entries: list[tuple[datetime, str, Any]] = [
        (entry["at"], entry["verb"], _details(entry)) for entry in row["history"]
    ]
    entries += [
        (attempt["at"], f"attempt {attempt['n']}", _attempt(attempt)) for attempt in row["attempts"]
    ]
    entries.sort(key=lambda entry: entry[0])
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="cyan", no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for at, what, more in entries:
        offset = (at - entries[0][0]).total_seconds()
        table.add_row(f"+{offset:.3f} s", cell(what), cell(more))
    return table


def _details(entry: Mapping[str, Any]) -> str:
    pairs = [f"{name}={value}" for name, value in entry["details"].items()]
    return " ".join([f"by {entry['actor']}", *pairs])


def _attempt(attempt: Mapping[str, Any]) -> str:
    parts = [attempt["outcome"]]
    if attempt["status"]:
        parts.append(f"GitHub answered {attempt['status']}")
    parts.append(f"in {attempt['duration_us'] / 1000:.0f} ms")
    parts.append(f"{attempt['length']} bytes")
    if attempt["request_id"]:
        parts.append(f"request {attempt['request_id']}")
    if attempt["error"]:
        parts.append(attempt["error"])
    return ", ".join(parts)
