"""`zekt accounts`: whom this server works for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.options import acts, lists, shows
from zekt_bot.cli.output import Column, print_facts
from zekt_bot.operations import accounts as operations
from zekt_bot.operations.erasure import erase as erased

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker

COLUMNS = (
    Column("login", "login"),
    Column("kind", "kind"),
    Column("rule", lambda row: row["rule"] or ""),
    Column("ruled by", lambda row: row["rule_by"] or "", under="by {}"),
    Column("ruled at", lambda row: row["rule_at"] or "", under="{}"),
    Column("id", "id", right=True, under="{}"),
)
login_argument = click.argument("name", metavar="LOGIN")


@click.group()
def accounts() -> None:
    """Accounts: people and organizations; who is admitted."""


@accounts.command("list")
@click.option("--rule", type=click.Choice(("allow", "block")), help="Only those ruled so.")
@lists("accounts", COLUMNS, key="login")
async def list_(
    broker: Broker, who: Principal, page: Page, *, rule: str | None
) -> list[dict[str, Any]]:
    """List the accounts that Zekt has met, by login."""
    after = page.before or ""
    return await operations.list_accounts(
        broker, who, limit=page.limit, after=after, rule=rule or ""
    )


def tell(found: Mapping[str, Any]) -> None:
    """One account as people read it."""
    listed = "yes" if found["listed"] else "no: it is not in ZEKT_ALLOWED_ACCOUNTS"
    rules = {"allow": "yes, by the operator", "block": "no: the operator blocked it"}
    print_facts(
        {
            "account": found["login"],
            "kind": found["kind"],
            "admitted": rules.get(found["rule"] or "", listed),
            "ruled by": found["rule_by"],
            "ruled at": found["rule_at"],
            "id": found["id"],
        }
    )


@accounts.command("show")
@login_argument
@shows(tell)
async def show(broker: Broker, who: Principal, name: str) -> dict[str, Any]:
    """Show the account LOGIN."""
    return await operations.show(broker, who, name)


@accounts.command("allow")
@login_argument
@acts
async def allow(broker: Broker, who: Principal, name: str) -> str:
    """Admit the account LOGIN, whatever ZEKT_ALLOWED_ACCOUNTS says."""
    new = await operations.allow(broker, who, name)
    return f"{name} is admitted." if new else f"{name} was admitted so already."


@accounts.command("block")
@login_argument
@acts
async def block(broker: Broker, who: Principal, name: str) -> str:
    """Shut the account LOGIN out.

    Nothing of it is stored, nothing leaves it and nothing reaches it.
    """
    new = await operations.block(broker, who, name)
    if not new:
        return f"{name} was blocked already."
    return f"{name} is blocked. `zekt accounts allow {name}` takes it back."


@accounts.command("erase")
@login_argument
@click.option("--yes", is_flag=True, help="Do it; there is no way back but a backup.")
@acts
async def erase(broker: Broker, who: Principal, name: str, *, yes: bool) -> str:
    """Erase all that is stored of the account LOGIN, and shut it out.

    Its events, messages, deliveries from it and to it, services, subscriptions and names go. The
    audit keeps its id. Who started runs of others is forgotten too; what was sealed in their events
    stays until these go by age.
    """
    if not yes:
        raise click.UsageError(f"this erases all of {name} for good: add --yes.")
    account_id = await erased(broker, who, name)
    return f"{name} is erased and shut out. The audit knows it as account {account_id}."
