"""`zekt plugins`: what is loaded, from where, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zekt_bot.cli.options import json_option
from zekt_bot.cli.output import Column, print_facts, print_json, print_table
from zekt_bot.cli.session import load_settings
from zekt_bot.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.plugins import Plugin

COLUMNS = (
    Column("name", "name"),
    Column("version", "version"),
    Column("origin", "origin"),
    Column("hooks", lambda row: ", ".join(row["hooks"]), under="hooks {}"),
    Column("problems", lambda row: " ".join(row["problems"]), under="! {}"),
)


@click.group(invoke_without_command=True)
@click.pass_context
def plugins(context: click.Context) -> None:
    """Plugins: those that a server with these settings loads."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@plugins.command("list")
@json_option
def list_(json_: bool = False) -> None:
    """List every plugin that is loaded, in the order of loading."""
    found = [_shown(plugin) for plugin in _loaded().values()]
    if json_:
        print_json(found)
    else:
        print_table(COLUMNS, found)


@plugins.command("show")
@click.argument("name")
@json_option
def show(name: str, json_: bool) -> None:
    """Show the plugin NAME: its hooks, the events that it hears of, what is wrong with it."""
    plugin = _loaded().get(name)
    if plugin is None:
        raise NotFound(f"No plugin {name} is loaded: `zekt plugins` lists those that are.")
    found = _shown(plugin)
    if json_:
        print_json(found)
    else:
        print_facts({key: _line(value) for key, value in found.items()})


def _line(value: Any) -> Any:
    return ", ".join(value) if isinstance(value, list) else value


def _loaded() -> Mapping[str, Plugin]:
    from zekt_bot.plugins import load

    settings = load_settings()
    return load(settings.plugins_dir, settings.disabled_plugins).registry.plugins


def _shown(plugin: Plugin) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "version": plugin.version,
        "origin": plugin.origin,
        "hooks": list(plugin.hooks),
        "events": sorted(plugin.events),
        "handlers": sorted(handler.__name__ for handler in plugin.handlers),
        "problems": plugin.problems,
    }
