"""Writes every command into docs/reference/cli.md, from the commands themselves.

Usage: python tools/cli_reference.py
"""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zekt_bot.cli import zekt

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"
FIRST, NEXT = "## Running", "## Exit codes"
SHARED = ("--limit", "--before", "--json", "--as")
_WIDTH = 110

# A section: its title, what it is about, its commands and nouns. What no section names comes last.
SECTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Running",
        "",
        (
            "serve",
            "worker",
            "migrate",
            "setup-link",
            "operators",
            "rotate-secrets",
            "check",
            "status",
            "receive",
            "pause",
            "resume",
            "pauses",
            "backup",
        ),
    ),
    (
        "Catalog",
        "Who may send what to whom. A repository that Zekt has not heard of is looked up at "
        "GitHub; the orchestration App must be installed on it.",
        ("accounts", "repositories", "workflows", "services", "shield", "subscriptions"),
    ),
    (
        "Looking",
        "Events, deliveries, messages and the audit are listed newest first. `deliveries show` "
        "tells why a delivery stands where it stands and what to do, draws its way with what each "
        "leg took, and puts attempts and history into one line of time that begins with the event. "
        "The [states](../concepts/delivery-states.md) are explained elsewhere.",
        ("events", "deliveries", "messages", "audit", "export"),
    ),
)
_REST = "Everything else"


def render() -> str:
    """The sections of all commands."""
    named = {name for _, _, names in SECTIONS for name in names}
    rest = tuple(name for name in zekt.commands if name not in named)
    parts = []
    for title, intro, names in (*SECTIONS, (_REST, "", rest)):
        parts += [f"## {title}", *([_wrapped(intro)] if intro else [])]
        for name in names:
            parts += _parts(zekt.commands[name], f"zekt {name}")
    return "\n\n".join(parts) + "\n\n"


def page(text: str) -> str:
    """The page `text` with its sections of commands as they should be."""
    before, _, after = text.partition(FIRST)
    return before + render() + NEXT + after.partition(NEXT)[2]


def _parts(command: click.Command, name: str) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    command = context.command  # what was deferred is there now
    if isinstance(command, click.Group):
        for word, inner in command.commands.items():
            yield from _parts(inner, f"{name} {word}")
        return
    yield f"### `{name}`"
    pieces = command.collect_usage_pieces(context)
    yield f"`{' '.join([name, *pieces])}`"
    yield from _help(command)
    options = [each for each in command.params if isinstance(each, click.Option)]
    own = [each for each in options if each.opts[0] not in SHARED]
    if own:
        yield "\n".join(_option(each) for each in own)
    shared = [f"`{each.opts[0]}`" for each in options if each.opts[0] in SHARED]
    if shared:
        yield f"[Also](#what-they-share) {', '.join(shared)}."


def _help(command: click.Command) -> Iterator[str]:
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield "```text\n" + paragraph.removeprefix("\b\n") + "\n```"
        else:
            yield _wrapped(" ".join(paragraph.split()))


def _option(option: click.Option) -> str:
    words = option.make_metavar(click.Context(click.Command("zekt")))
    value = "" if option.is_flag else f" {words}"
    names = " or ".join(f"`{each}{value}`" for each in (*option.opts, *option.secondary_opts))
    default = option.default if option.show_default else None
    if isinstance(default, tuple):
        default = ", ".join(f"`{each}`" for each in default)
    said = (option.help or "").rstrip(".")
    text = f"- {names}: {said}."
    text += f" Default: {default}." if default else ""
    text += " Required." if option.required else ""
    return _wrapped(text, "  ")


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
