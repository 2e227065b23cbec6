"""`zekt audit`: who did what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.options import Moment, lists, shows
from zekt_bot.cli.output import Column, print_facts
from zekt_bot.domain.lists import AuditFilter
from zekt_bot.operations.audit import list_entries, show_entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker


def _details(row: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in row["details"].items())


def _account(row: Mapping[str, Any]) -> Any:
    return row["login"] or row["account_id"]


def _repository(row: Mapping[str, Any]) -> Any:
    return row["full_name"] or row["repository_id"]


COLUMNS = (
    Column("at", "at"),
    Column("verb", "verb"),
    Column("actor", "actor"),
    Column("repository", lambda row: _repository(row) or "", under="{}"),
    Column("id", "id", under="{}"),
    Column("details", _details, under="{}"),
)


@click.group()
def audit() -> None:
    """The audit: who did what, chained so that a change shows."""


@audit.command("list")
@click.option("--actor", metavar="NAME", help="Only this actor's; '*' is any part: 'person:*'.")
@click.option("--verb", metavar="VERB", help="Only this verb; '*' is any part: '*:delivery:dead'.")
@click.option("--account", metavar="LOGIN", help="Only those about this account.")
@click.option("--repository", metavar="OWNER/REPO", help="Only those about this repository.")
@click.option("--correlation", "correlation_id", metavar="ID", help="Only those about this run.")
@click.option(
    "--from", "since", type=Moment(), metavar="TIME", help="Only from then on: 24h, 2026-03-01."
)
@click.option("--to", "until", type=Moment(), metavar="TIME", help="Only before then.")
@lists("audit entries", COLUMNS)
async def list_(broker: Broker, who: Principal, page: Page, **filters: Any) -> list[dict[str, Any]]:
    """List audit entries of all chains, newest first."""
    return await list_entries(broker, who, page, AuditFilter(**filters))


def tell(found: Mapping[str, Any]) -> None:
    """One entry as people read it."""
    print_facts(
        {
            "entry": found["id"],
            "at": found["at"],
            "actor": found["actor"],
            "verb": found["verb"],
            "account": _account(found),
            "repository": _repository(found),
            "correlation": found["correlation_id"],
            "delivery": found["delivery_id"],
            "details": _details(found),
            "hash": found["hash"],
            "previous": found["previous"],
            "intact": "yes" if found["intact"] else "NO: this entry is not what was written",
        }
    )


@audit.command("show")
@click.argument("entry_id", metavar="ID")
@shows(tell)
async def show(broker: Broker, who: Principal, entry_id: str) -> dict[str, Any]:
    """Show the audit entry ID (CHAIN:NUMBER), and whether its hash still fits."""
    return await show_entry(broker, who, entry_id)
