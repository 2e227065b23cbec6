"""`zekt events`: the finished runs that Zekt heard of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.deliveries import why
from zekt_bot.cli.options import ENDINGS, acts, lists, shows
from zekt_bot.cli.output import Column, console, print_facts, print_table
from zekt_bot.cli.timeline import KNOWN_BY
from zekt_bot.domain.catalog import CONCLUSIONS
from zekt_bot.domain.lists import EventFilter
from zekt_bot.operations.events import list_events, retry_event, show_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker


def _state(row: Mapping[str, Any]) -> str:
    blocked = row["blocked_reason"] or row["envelope_blocked_reason"]
    return "blocked" if blocked else str(row["state"])


def _reason(row: Mapping[str, Any]) -> str:
    return str(row["blocked_reason"] or row["envelope_blocked_reason"] or row["reason"] or "")


def _blocker(found: Mapping[str, Any]) -> str | None:
    """The plugin that blocked the run, or one of its envelopes."""
    said = (found["blocked_by"], *(each["blocked_by"] for each in found["envelopes"]))
    name = next((each for each in said if each), None)
    return f"the plugin {name}" if name else None


COLUMNS = (
    Column("state", _state),
    Column("completed at", "completed_at"),
    Column("repository", "full_name"),
    Column("workflow", lambda row: f"{row['workflow_name']} #{row['run_number']}"),
    Column("conclusion", "conclusion", under="{}"),
    Column("run id", "id", under="{}"),
    Column("messages", "messages", right=True, under="messages {}"),
    Column("deliveries", "deliveries", right=True, under="deliveries {}"),
    Column("reason", _reason, under="{}"),
)
_PARTS = {
    "jobs": (
        Column("job", "name"),
        Column("status", "status"),
        Column("conclusion", "conclusion"),
        Column("completed at", "completed_at", under="{}"),
    ),
    "messages": (
        Column("message", "id"),
        Column("event type", "event_type"),
        Column("bytes", "size", right=True),
    ),
    "envelopes": (
        Column("event", "id"),
        Column("kind", "kind"),
        Column("event type", "event_type"),
        Column("filtered", "filtered", right=True, under="filtered {}"),
        Column("blocked", lambda row: row["blocked_reason"] or "", under="blocked: {}"),
    ),
    "deliveries": (
        Column("delivery", "id"),
        Column("state", "state"),
        Column("consumer", "target"),
        Column("reason", why, under="{}"),
    ),
    "reactions": (
        Column("delivery", "delivery_id"),
        Column("run", lambda row: row["conclusion"] or row["status"] or "?"),
        Column("known", lambda row: KNOWN_BY[row["bound_by"]]),
        Column("at GitHub", "html_url", under="{}"),
    ),
}


@click.group()
def events() -> None:
    """Events: finished workflow runs of enabled repositories."""


@events.command("list")
@click.option("--repository", metavar="OWNER/REPO", help="Only those of this repository.")
@click.option("--workflow", metavar="NAME", help="Only this workflow's: its path, file or name.")
@click.option(
    "--conclusion",
    type=click.Choice(CONCLUSIONS),
    metavar="CONCLUSION",
    help=f"Only runs that ended so: {ENDINGS}.",
)
@click.option("--blocked", is_flag=True, help="Only those that the policy stopped.")
@lists("events", COLUMNS)
async def list_(broker: Broker, who: Principal, page: Page, **filters: Any) -> list[dict[str, Any]]:
    """List events, newest first."""
    return await list_events(broker, who, page, EventFilter(**filters))


def tell(found: Mapping[str, Any]) -> None:
    """One event as people read it."""
    out = console()
    print_facts(
        {
            "run": f"{found['full_name']} · {found['workflow_name']} #{found['run_number']}",
            "state": _state(found),
            "reason": _reason(found),
            "blocked by": _blocker(found),
            "conclusion": found["conclusion"],
            "started by": found["event"],
            "branch": found["head_branch"],
            "commit": found["head_sha"],
            "actor": found["actor"],
            "completed": found["completed_at"],
            "heard of": found["received_at"],
            "read from GitHub": found["recovered_at"],
            "at GitHub": found["html_url"],
            "run id": found["id"],
            "correlation": found["correlation_id"],
        },
        out,
    )
    for part, columns in _PARTS.items():
        if found[part]:
            out.print()
            print_table(columns, found[part], out)


@events.command("show")
@click.argument("event_id", metavar="ID")
@shows(tell)
async def show(broker: Broker, who: Principal, event_id: str) -> dict[str, Any]:
    """Show the event ID (a run id, correlation id or event id).

    Its run, jobs, messages, envelopes, deliveries and the runs that these led to.
    """
    return await show_event(broker, who, event_id)


@events.command("retry")
@click.argument("event_id", metavar="ID")
@acts
async def retry(broker: Broker, who: Principal, event_id: str) -> str:
    """Try again what was set aside of the event ID, because a plugin failed about it.

    Mend the plugin first. What was sent is not sent twice.
    """
    await retry_event(broker, who, event_id)
    return f"It is tried again. Next: `zekt events show {event_id}`."
