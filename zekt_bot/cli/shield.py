"""`zekt shield`: messages that are encrypted for their consumers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import click

from zekt_bot.cli.options import TextOf, acts, lists, shows
from zekt_bot.cli.output import Column, console, print_facts
from zekt_bot.operations import shield_keys as operations
from zekt_bot.shield import open_envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.lists import Page
    from zekt_bot.operations.broker import Broker

COLUMNS = (
    Column("of", "of"),
    Column("bits", "bits", right=True),
    Column("added at", "created_at"),
    Column("added by", "created_by"),
    Column("fingerprint", "fingerprint", under="{}"),
    Column("id", "id", under="{}"),
)


@click.group()
def shield() -> None:
    """Shield: messages that providers encrypt for their consumers."""


@shield.command("decrypt")
@click.argument("file", type=click.File("rb"), metavar="FILE", default="-")
@click.option(
    "--key",
    required=True,
    type=click.File("rb"),
    metavar="FILE",
    help="The private RSA key, in PEM without a passphrase.",
)
def decrypt(file: BinaryIO, key: BinaryIO) -> None:
    """Print what the Shield envelope in FILE (default: standard input) says to the holder of a key.

    It is printed byte for byte. Neither a server nor its settings are needed.
    """
    click.echo(open_envelope(file.read(), key.read()), nl=False)


@click.group()
def keys() -> None:
    """The public keys of consumers."""


shield.add_command(keys)


@keys.command("list")
@click.option("--of", "whose", metavar="OWNER/REPO", help="Only its own; or those of an OWNER.")
@lists("keys", COLUMNS)
async def list_(
    broker: Broker, who: Principal, page: Page, *, whose: str | None
) -> list[dict[str, Any]]:
    """List keys, oldest first."""
    return await operations.list_keys(broker, who, page, whose)


def tell(found: Mapping[str, Any]) -> None:
    """One key as people read it, and as a file has it."""
    names = {"of": "of", "bits": "bits", "fingerprint": "fingerprint", "id": "id"}
    names |= {"created_at": "added at", "created_by": "added by"}
    print_facts({title: found[name] for name, title in names.items()}, console())
    click.echo(f"\n{found['public_key'].rstrip()}")


@keys.command("show")
@click.argument("key_id", metavar="ID")
@shows(tell)
async def show(broker: Broker, who: Principal, key_id: str) -> dict[str, Any]:
    """Show the key ID."""
    return await operations.show(broker, who, key_id)


@keys.command("add")
@click.argument("whose", metavar="OWNER/REPO")
@click.argument("file", type=TextOf(encoding="utf-8"), metavar="FILE")
@acts
async def add(broker: Broker, who: Principal, whose: str, file: str) -> str:
    """Register the public RSA key in FILE (PEM) for OWNER/REPO; for OWNER: for its repositories.

    The keys of a repository go before those of its owner. To change a key, add the new one, wait
    until what was encrypted for the old one has arrived, and remove that.
    """
    key = await operations.add(broker, who, whose, file)
    return f"{whose} has the key {key.id} ({key.bits} bits, SHA-256 {key.fingerprint})."


@keys.command("remove")
@click.argument("key_id", metavar="ID")
@acts
async def remove(broker: Broker, who: Principal, key_id: str) -> str:
    """Remove the key ID: nothing is encrypted for it any more."""
    gone = await operations.remove(broker, who, key_id)
    return f"{gone['of']} has the key {key_id} no longer."
