"""Every command that a page tells to type is one that there is, with these arguments."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click
import pytest

from tests.docs.pages import ROOT, blocks, every_page
from zekt_bot.cli import zekt

if TYPE_CHECKING:
    from pathlib import Path

_ZEKT = re.compile(r"(?:^|[ /])zekt (?=[a-z-])([^|&;>#\n]+)", re.MULTILINE)
_MAKE = re.compile(r"^make (?:\w+=\S+ )?([a-z-]+)", re.MULTILINE)
_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def shell(path: Path) -> str:
    """What a page tells to type; a command may go on in the next line."""
    text = path.read_text(encoding="utf-8")
    found = [*blocks(text, "console"), *blocks(text, "bash"), *blocks(text, "shell")]
    return "\n".join(found).replace("\\\n", " ")


PAGES = [path for path in every_page() if shell(path)]


def parse(words: list[str]) -> None:
    """Take the words as the command line would, without doing anything."""
    command: click.Command = zekt
    while True:
        context = click.Context(command)
        _, rest, _ = command.make_parser(context).parse_args(words)
        if not isinstance(command, click.Group):
            break
        found = command.get_command(context, rest[0]) if rest else None
        if found is None:
            raise click.UsageError(f"no such command: {words}")
        command = found.make_context(rest[0], [], resilient_parsing=True).command
        words = rest[1:]
    if rest:
        raise click.UsageError(f"too many words: {rest}")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_command_is_one_that_there_is(path: Path) -> None:
    text = shell(path)
    for line in _ZEKT.findall(text):
        parse(shlex.split(line))
    assert set(_MAKE.findall(text)) <= _TARGETS


def test_commands_are_found_where_they_stand() -> None:
    text = (
        "zekt check\n./bin/zekt --env-file .env serve\ndocker exec server zekt events list | less\n"
    )

    assert [line.strip() for line in _ZEKT.findall(text)] == [
        "check",
        "--env-file .env serve",
        "events list",
    ]


@pytest.mark.parametrize(
    "line", ["nothing", "events lists", "events list --no-such-thing", "check this"]
)
def test_a_command_that_there_is_not_is_found_out(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(shlex.split(line))
