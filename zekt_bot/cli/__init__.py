"""The command line: one file a group of commands, and no rule of its own."""

from __future__ import annotations

from pathlib import Path

import click

from zekt_bot.cli.accounts import accounts
from zekt_bot.cli.audit import audit
from zekt_bot.cli.check import check
from zekt_bot.cli.completion import completion
from zekt_bot.cli.data import backup, export
from zekt_bot.cli.deliveries import deliveries
from zekt_bot.cli.demo import demo
from zekt_bot.cli.errors import ZektGroup, exit_codes
from zekt_bot.cli.events import events
from zekt_bot.cli.messages import messages
from zekt_bot.cli.new_plugin import new_plugin
from zekt_bot.cli.operators import operators
from zekt_bot.cli.pauses import pause, pauses, resume
from zekt_bot.cli.plugins import plugins
from zekt_bot.cli.receive import receive
from zekt_bot.cli.repositories import repositories
from zekt_bot.cli.rotate import rotate_secrets
from zekt_bot.cli.server import migrate, serve, worker
from zekt_bot.cli.services import services
from zekt_bot.cli.setup import setup_link
from zekt_bot.cli.shield import shield
from zekt_bot.cli.status import status
from zekt_bot.cli.subscriptions import subscriptions
from zekt_bot.cli.workflows import workflows

__all__ = ["zekt"]


@click.group(cls=ZektGroup, epilog=exit_codes(), context_settings={"max_content_width": 100})
@click.version_option(package_name="zekt-bot", message="zekt %(version)s")
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    help="Read settings from this file too; the environment wins over it.",
)
def zekt(env_file: Path | None) -> None:
    """A self-hosted broker of GitHub workflow events between organizations.

    Settings come from the environment (DATABASE_URL, PORT, ZEKT_SECRET_KEY …). To see the whole
    broker at work on this machine, without GitHub: `zekt demo`.
    """


for _command in (
    serve,
    worker,
    migrate,
    setup_link,
    operators,
    rotate_secrets,
    check,
    status,
    receive,
    pause,
    resume,
    pauses,
    accounts,
    repositories,
    workflows,
    services,
    shield,
    subscriptions,
    events,
    deliveries,
    messages,
    audit,
    export,
    backup,
    new_plugin,
    plugins,
    demo,
    completion,
):
    zekt.add_command(_command)
