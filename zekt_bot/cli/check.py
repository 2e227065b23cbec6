"""`zekt check`: what a server with these settings could not do, and why."""

from __future__ import annotations

import asyncio

import click
from rich.text import Text

from zekt_bot.cli.errors import NOT_AS_IT_SHOULD_BE
from zekt_bot.cli.options import json_option
from zekt_bot.cli.output import print_json, print_marked
from zekt_bot.cli.session import load_settings
from zekt_bot.clock import SystemClock
from zekt_bot.errors import ConfigurationError
from zekt_bot.operations.server_check import Check


@click.command()
@json_option
@click.pass_context
def check(context: click.Context, json_: bool) -> None:
    """Try settings, database, clock, keys and plugins.

    It says what to do about what is not well, and exits with 1 if something is not. A running
    server is not needed, and not disturbed.
    """
    checks = _checks()
    if json_:
        print_json(checks)
    else:
        _print(checks)
    if not all(each.ok for each in checks):
        context.exit(NOT_AS_IT_SHOULD_BE)


def _checks() -> list[Check]:
    try:
        settings = load_settings()
    except ConfigurationError as error:
        return [Check("settings", ok=False, said=str(error))]
    from zekt_bot.operations.server_check import check as tried

    read = Check("settings", ok=True, said="They can be read.")
    return [read, *asyncio.run(tried(settings, SystemClock()))]


def _print(checks: list[Check]) -> None:
    good, bad = Text("✓", "green"), Text("✕", "red")
    print_marked((good if each.ok else bad, each.part, each.said) for each in checks)
