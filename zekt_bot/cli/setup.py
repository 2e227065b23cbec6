"""`zekt setup-link`: the way into the setup pages."""

from __future__ import annotations

import click

from zekt_bot.cli import session
from zekt_bot.operations.setup import new_link


@click.command("setup-link")
def setup_link() -> None:
    """Print a link that opens the setup once, within a day.

    Whoever opens it makes the two GitHub Apps of this server and becomes its operator. A former
    link, and the browser that used it, are let in no more.
    """
    click.echo(session.run(new_link))
