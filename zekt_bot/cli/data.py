"""`zekt export` and `zekt backup`: what is stored, taken out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from zekt_bot.cli import session
from zekt_bot.cli.options import Moment, acts, login_option
from zekt_bot.cli.output import harmless_json
from zekt_bot.domain.lists import Span
from zekt_bot.operations import backup as backups
from zekt_bot.operations.export import KINDS
from zekt_bot.operations.export import export as exported

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.export import Kind


@click.command("export")
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS), metavar="[events|deliveries|audit]…")
@click.option(
    "--from", "since", type=Moment(), metavar="TIME", help="Only from then on: 24h, 2026-03-01."
)
@click.option("--to", "until", type=Moment(), metavar="TIME", help="Only before then.")
@login_option
def export(
    kinds: tuple[Kind, ...], since: datetime | None, until: datetime | None, login: str | None
) -> None:
    """Print events, deliveries and audit entries as JSON lines.

    The oldest stand first.
    """

    async def work(broker: Broker, who: Principal) -> None:
        async for row in exported(broker, who, kinds or KINDS, Span(since, until)):
            line = orjson.dumps(row, option=orjson.OPT_UTC_Z).decode()
            click.echo(harmless_json(line))

    session.run(work, login)


@click.command("backup")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@acts
async def backup(broker: Broker, who: Principal, file: Path) -> str:
    """Copy an SQLite database to the new file FILE.

    A running server is not disturbed.
    """
    made = await backups.backup(broker, who, file)
    return f"{file}: {made.bytes} bytes. Keep {made.key} with it, but not in the same place."
