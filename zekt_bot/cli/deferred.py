"""A command whose module is imported when the command is run, so that no other waits for it."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import Any

import click


class Deferred(click.Command):
    """Stands for the command `name` in `zekt_bot.cli.MODULE`; lists of commands show its `line`."""

    def __init__(self, name: str, module: str, line: str) -> None:
        """Imports nothing yet."""
        super().__init__(name, help=line)
        self._module = module

    @cached_property
    def command(self) -> click.Command:
        """The command itself."""
        module = import_module(f"zekt_bot.cli.{self._module}")
        found: click.Command = getattr(module, str(self.name).replace("-", "_"))
        return found

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """The command's own context: by it click runs and completes a command."""
        return self.command.make_context(info_name, args, parent, **extra)
