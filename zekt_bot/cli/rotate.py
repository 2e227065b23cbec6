"""`zekt rotate-secrets`: new keys and secrets without a gap."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zekt_bot.cli.options import acts
from zekt_bot.operations import rotation

if TYPE_CHECKING:
    from zekt_bot.config import App
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

_app_argument = click.argument("app", type=click.Choice(("orchestrator", "oauth")))


@click.group("rotate-secrets")
def rotate_secrets() -> None:
    """Replace keys and secrets, without a webhook that is lost."""


@rotate_secrets.command("stored")
@acts
async def stored(broker: Broker, who: Principal) -> str:
    """Seal what is stored anew, with the first key of ZEKT_SECRET_KEY.

    Give every process NEW,OLD first, and restart it. Afterwards OLD opens nothing any more.
    """
    sealed = await rotation.seal_anew(broker, who)
    return (
        f"{sealed} values are sealed anew. When every process has the new key first and this "
        "prints 0, remove the other ones from ZEKT_SECRET_KEY."
    )


@rotate_secrets.command("webhook-secret")
@_app_argument
@click.option(
    "--grace",
    type=click.IntRange(0, 3600),
    default=int(rotation.GRACE.total_seconds()),
    show_default=True,
    help="Seconds that webhooks with the former secret are still taken.",
)
@acts
async def webhook_secret(broker: Broker, who: Principal, app: App, grace: int) -> str:
    """Give an App a new webhook secret, here and at GitHub.

    For secrets that the setup pages stored.
    """
    await rotation.rotate_webhook_secret(broker, who, app, timedelta(seconds=grace))
    return "GitHub signs with a new secret, and the former one is taken no more."


@rotate_secrets.command("private-key")
@_app_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True))
@acts
async def private_key(broker: Broker, who: Principal, app: App, file: Path) -> str:
    """Use the private key in FILE, which GitHub generated for the App, from now on.

    For keys that the setup pages stored. GitHub is asked first whether it takes it.
    """
    text = await asyncio.to_thread(file.read_text, encoding="utf-8", errors="replace")
    page = await rotation.replace_private_key(broker, who, app, text)
    return f"The new key is used. Delete the former one at {page}, and the file {file}."
