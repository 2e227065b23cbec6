"""How a command reaches the broker: settings once, everything opened and closed, one principal."""

from __future__ import annotations

import asyncio
import getpass
import os
import re
import socket
from typing import TYPE_CHECKING, TypeVar

import click
import structlog

from zekt_bot import config, logs
from zekt_bot.cli import environment
from zekt_bot.domain.access import Operator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from zekt_bot.config import Settings
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

Answer = TypeVar("Answer")
_log = structlog.get_logger()


def load_settings() -> Settings:
    """The settings from the environment; logs go to standard error from here on."""
    found = environment.read(click.get_current_context().find_root().params.get("env_file"))
    settings = config.load(found.variables)
    logs.configure(settings.log_level, settings.log_format)
    for name, likeliest in found.unknown.items():
        _log.warning("settings.unknown", variable=name, file=str(found.file), meant=likeliest)
    return settings


def run(work: Callable[[Broker, Principal], Awaitable[Answer]], login: str | None = None) -> Answer:
    """Open the broker, do `work`, close the broker.

    `login`: as this GitHub user; else as this machine's user, who has the server's own rights.
    """
    settings = load_settings()

    async def session() -> Answer:
        from zekt_bot.app import open_broker
        from zekt_bot.db import engine
        from zekt_bot.operations.access import person

        path = engine.parse(settings.database_url).path
        missing = path is not None and not path.exists()
        async with open_broker(settings) as broker:
            if missing:  # perhaps it is another folder's that was meant
                click.echo(f"There was no {path}: it is made, and empty.", err=True)
            who = operator() if login is None else await person(broker, login)
            return await work(broker, who)

    return asyncio.run(session())


def operator() -> Operator:
    """Whoever sits at this command line, as the audit will name them: `cli:USER@HOST`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = f"uid-{os.getuid()}"
    return Operator(f"cli:{_word(user)}@{_word(socket.gethostname())}")


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)[:64] or "unknown"
