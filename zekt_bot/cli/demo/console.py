"""`zekt demo --console`: a server that nobody has set up, to be clicked through by its pages."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zekt_bot import config, logs
from zekt_bot.app import open_broker, serving, working
from zekt_bot.cli.demo.stage import DEPLOY, HOST, RELEASE, kept_port
from zekt_bot.operations.heartbeat import beating
from zekt_bot.operations.setup import first_link
from zekt_bot.testing import GitHubSimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.operations.broker import Broker
    from zekt_bot.testing import Account, Repository


@dataclass(frozen=True, slots=True)
class Door:
    """The server, its setup link, and `person` of the simulated GitHub, who owns both ends."""

    github: GitHubSimulator
    broker: Broker
    url: str
    link: str
    person: Account
    provider: Repository
    consumer: Repository


@asynccontextmanager
async def open_door() -> AsyncIterator[Door]:
    """Everything up; no App exists yet. All of it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="zekt-demo-") as folder:
        async with kept_port() as port, GitHubSimulator(local_hooks=True) as github:
            aurora, kestrel = github.account("aurora-labs"), github.account("kestrel-bank")
            for owned in (aurora, kestrel):
                owned.members = {github.sender.id: "owner"}
            provider = github.repository(aurora, "payments-api", private=True)
            github.add_workflow(provider, RELEASE, "Release")
            consumer = github.repository(kestrel, "core-sync", private=True)
            github.add_workflow(
                consumer, DEPLOY, "Deploy", on_dispatch_types=["*"], finishes="success"
            )
            settings = config.load(_environ(github, Path(folder), port))
            logs.configure(settings.log_level, settings.log_format)
            async with (
                open_broker(settings, server=True) as broker,
                beating(broker, "serve"),
                working(broker),
                serving(broker),
            ):
                link = await first_link(broker)
                assert link, "no App exists"  # noqa: S101
                url = settings.public_url
                yield Door(github, broker, url, link, github.sender, provider, consumer)


def _environ(github: GitHubSimulator, folder: Path, port: int) -> dict[str, str]:
    return {
        "DATABASE_URL": f"sqlite:///{folder / 'zekt.db'}",
        "PORT": str(port),
        "ZEKT_HOST": HOST,
        "ZEKT_PUBLIC_URL": f"http://localhost:{port}",
        "ZEKT_SECRET_KEY": secrets.token_urlsafe(32),
        "ZEKT_GITHUB_URL": github.web_url,
        "ZEKT_GITHUB_API_URL": github.api_url,
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
        "LOG_FORMAT": os.environ.get("LOG_FORMAT", "console"),
    }


def say(door: Door) -> None:
    """What to do; nothing here is folded, so that links can be copied."""
    owners = f"{door.provider.owner.login} and {door.consumer.owner.login}"
    click.echo(
        f"""
A server that nobody has set up, before a simulated GitHub. Open this in a browser, once:

  {door.link}

It leads from making both Apps to the first repository. The simulated GitHub asks for a name and any
password: you are {door.person.login}, who owns {owners} there.

Ctrl-C ends it, and nothing is left.
"""
    )
