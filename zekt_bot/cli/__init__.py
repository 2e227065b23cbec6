"""The command line: one file a group of commands, and no rule of its own."""

from __future__ import annotations

from pathlib import Path

import click

from zekt_bot.cli.deferred import Deferred
from zekt_bot.cli.errors import ZektGroup, exit_codes

__all__ = ["zekt"]

_COMMANDS = (
    Deferred("serve", "server", "Run the server: webhooks over HTTP, and a worker."),
    Deferred("worker", "server", "Run a worker without HTTP beside `zekt serve`."),
    Deferred("migrate", "server", "Bring the database's tables to this version's."),
    Deferred("setup-link", "setup", "Print a link that opens the setup once, within a day."),
    Deferred("operators", "operators", "Operators: who may do everything here by signing in."),
    Deferred(
        "rotate-secrets", "rotate", "Replace keys and secrets, without a webhook that is lost."
    ),
    Deferred("check", "check", "Try settings, database, clock, keys and plugins."),
    Deferred("status", "status", "Show who works, what waits, and how whole it is."),
    Deferred("receive", "receive", "Send the payload in FILE to a running server."),
    Deferred("pause", "pauses", "Put sending on hold: of everything, or of what is named."),
    Deferred("resume", "pauses", "Let sending go on, with what waited for it."),
    Deferred("pauses", "pauses", "What is on hold."),
    Deferred("accounts", "accounts", "Accounts: people and organizations; who is admitted."),
    Deferred("repositories", "repositories", "Repositories that take part."),
    Deferred("workflows", "workflows", "The workflows whose events may leave their repository."),
    Deferred("services", "services", "The services that providers publish."),
    Deferred("shield", "shield", "Shield: messages that providers encrypt for their consumers."),
    Deferred(
        "subscriptions", "subscriptions", "Which consumer repositories hear of which services."
    ),
    Deferred("events", "events", "Events: finished workflow runs of enabled repositories."),
    Deferred("deliveries", "deliveries", "Deliveries: one event on its way to one consumer."),
    Deferred("messages", "messages", "Messages: JSON that a run sent beside its event."),
    Deferred("audit", "audit", "The audit: who did what, chained so that a change shows."),
    Deferred("export", "data", "Print events, deliveries and audit entries as JSON lines."),
    Deferred("backup", "data", "Copy an SQLite database to the new file FILE."),
    Deferred("new-plugin", "new_plugin", "Write a plugin that works, with its tests."),
    Deferred("plugins", "plugins", "Plugins: those that a server with these settings loads."),
    Deferred("demo", "demo", "Show the whole broker at work here, without GitHub."),
    Deferred("completion", "completion", "Print the script that completes commands in SHELL."),
)


@click.group(
    cls=ZektGroup,
    commands=_COMMANDS,
    epilog=exit_codes(),
    context_settings={"max_content_width": 100},
)
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
