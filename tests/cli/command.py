"""`zekt`, as tests run it."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from click.testing import CliRunner

from tests import plain_logs
from zekt_bot import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "a key of the tests that is long enough"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def environment(**settings: str) -> dict[str, str]:
    """An environment with nothing in it but these settings."""
    home = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**home, "ZEKT_SECRET_KEY": KEY, "LOG_LEVEL": "WARNING", **settings}


def every_command(
    command: click.Command = cli.zekt, name: str = "zekt", parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Each command and each group of them, imported, in the order of the reference."""
    context = command.make_context(name, [], parent, resilient_parsing=True)
    yield context
    if isinstance(context.command, click.Group):
        for word, inner in context.command.commands.items():
            yield from every_command(inner, word, context)


async def zekt(*words: str, **settings: str) -> Ended:
    """Run `zekt WORDS` to its end: the whole command, but in a thread of this process.

    A process of its own, as in `process`, takes a second more.
    """

    def run() -> Ended:
        ended = CliRunner().invoke(cli.zekt, words, prog_name="zekt", env=environment(**settings))
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    try:
        return await asyncio.to_thread(run)
    finally:
        plain_logs.configure()


async def process(*words: str, **settings: str) -> Ended:
    """Run `zekt WORDS` to its end, in a process of its own."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "zekt_bot",
        *words,
        env=environment(**settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(120):
            out, err = await running.communicate()
    finally:
        if running.returncode is None:  # nobody else would end it
            running.kill()
            await running.communicate()
    assert running.returncode is not None
    return Ended(running.returncode, out.decode(), err.decode())
