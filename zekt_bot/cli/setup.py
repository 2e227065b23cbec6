"""`zekt setup-link`: the way into the setup pages."""

from __future__ import annotations

import click

from zekt_bot.cli import session
from zekt_bot.operations.setup import new_link


@click.command("setup-link")
@click.option("--again", is_flag=True, help="Although the setup is finished.")
def setup_link(*, again: bool) -> None:
    """Print a link that opens the setup once, within a day.

    Whoever opens it makes the two GitHub Apps of this server and becomes its operator. A former
    link, and the browser that used it, are let in no more.

    With --again it opens a finished setup, where no operator can sign in any more: the sign-in App
    was deleted or forgotten. Who opens it can do all that an operator can: hand it to nobody.
    """
    click.echo(session.run(lambda broker, who: new_link(broker, who, again=again)))
