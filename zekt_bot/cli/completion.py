"""`zekt completion`: the script by which a shell completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands in SHELL.

    \b
    bash: zekt completion bash > ~/.local/share/bash-completion/completions/zekt
    zsh:  zekt completion zsh > "${fpath[1]}/_zekt"
    fish: zekt completion fish > ~/.config/fish/completions/zekt.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click has a class for each of these"  # noqa: S101
    root = context.find_root()
    click.echo(kind(root.command, {}, "zekt", "_ZEKT_COMPLETE").source())
