"""`zekt audit`: who did what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli import session
from zekt_bot.cli.errors import NOT_AS_IT_SHOULD_BE
from zekt_bot.cli.options import Moment, json_option, lists, login_option, shows
from zekt_bot.cli.output import Column, print_facts, print_json
from zekt_bot.domain.lists import AuditFilter
from zekt_bot.operations import audit_proof
from zekt_bot.operations.audit import list_entries, show_entry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

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


@audit.command("checkpoint")
@login_option
def checkpoint(login: str | None) -> None:
    """Print the heads of all chains and times of entries, to be kept out of this server's reach."""
    print_json(session.run(audit_proof.checkpoint, login))


@audit.command("verify")
@click.option(
    "--checkpoint",
    "files",
    multiple=True,
    type=click.File("rb"),
    metavar="FILE",
    help="A checkpoint that was kept outside; repeat for older ones.",
)
@json_option
@login_option
@click.pass_context
def verify(
    context: click.Context, files: tuple[BinaryIO, ...], *, json_: bool, login: str | None
) -> None:
    """Walk along every chain; exit with 1 if an entry was changed, is missing or does not belong.

    Only a checkpoint tells whether a whole chain was written anew, or its end or beginning cut off.
    """
    kept = [file.read() for file in files]
    found = session.run(lambda broker, who: audit_proof.verify(broker, who, kept), login)
    if json_:
        print_json(found)
    else:
        _tell(found, against=len(kept))
    if not found["intact"]:
        context.exit(NOT_AS_IT_SHOULD_BE)


def _tell(found: Mapping[str, Any], against: int) -> None:
    for finding in found["findings"]:
        place = (
            finding["chain"] if finding["seq"] is None else f"{finding['chain']}:{finding['seq']}"
        )
        click.echo(f"{place}: {finding['what']}")
    verdict = "are what was written" if found["intact"] else f"were read; {found['found']} findings"
    click.echo(f"{found['entries']} entries in {len(found['chains'])} chains {verdict}.")
    if not against:
        click.echo("Held against no checkpoint: see `zekt audit checkpoint`.", err=True)
