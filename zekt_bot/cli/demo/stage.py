"""Where the demo plays: a simulated GitHub with two organizations, and the real server."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from zekt_bot import config, logs
from zekt_bot.app import open_broker, serving, working
from zekt_bot.operations.heartbeat import beating
from zekt_bot.testing import GitHubSimulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zekt_bot.operations.broker import Broker
    from zekt_bot.testing import App, Repository

RELEASE = ".github/workflows/release.yml"
NIGHTLY = ".github/workflows/nightly.yml"
EXPERIMENT = ".github/workflows/experiment.yml"
DEPLOY = ".github/workflows/deploy.yml"
MESSAGE_TYPE = "release-published"
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class World:
    """The simulated GitHub and what stands on it."""

    github: GitHubSimulator
    app: App
    provider: Repository
    approved: Repository
    waiting: Repository


@dataclass(frozen=True, slots=True)
class Stage:
    """The world, the server before it, and the environment that the server was given."""

    world: World
    broker: Broker
    folder: Path
    url: str
    environ: dict[str, str] = field(repr=False)
    patience: float
    """How many seconds a look waits for what should be there."""
    runs_files: bool
    """Whether workflow files are run for real."""


@asynccontextmanager
async def open_stage(patience: float = 30.0, *, runs_files: bool = False) -> AsyncIterator[Stage]:
    """Everything up, nothing installed yet; all of it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="zekt-demo-") as folder:
        async with kept_port() as port, GitHubSimulator() as github:
            world = _world(github)
            environ = _environ(world, Path(folder), port)
            settings = config.load(environ)
            logs.configure(settings.log_level, settings.log_format)
            async with (
                open_broker(settings, server=True) as broker,
                beating(broker, "serve"),
                working(broker),
                serving(broker),
            ):
                url = settings.public_url
                world.app.hook_url = f"{url}/webhooks/github"
                yield Stage(world, broker, Path(folder), url, environ, patience, runs_files)


def _world(github: GitHubSimulator) -> World:
    aurora, kestrel = github.account("aurora-labs"), github.account("kestrel-bank")
    provider = github.repository(aurora, "payments-api", private=True)
    github.add_workflow(provider, RELEASE, "Release")
    github.add_workflow(provider, NIGHTLY, "Nightly checks")
    github.add_workflow(provider, EXPERIMENT, "Experiment")
    consumers = [
        github.repository(kestrel, name, private=True) for name in ("core-sync", "mobile-app")
    ]
    for consumer in consumers:
        github.add_workflow(
            consumer,
            DEPLOY,
            "Deploy",
            on_dispatch_types=["*"],
            run_name="Deploy after ${{ github.event.action }}",
            finishes="success",
        )
    return World(github, github.app("zekt-orchestrator-app"), provider, *consumers)


def _environ(world: World, folder: Path, port: int) -> dict[str, str]:
    key = folder / "orchestrator.pem"
    key.touch(mode=0o600)
    key.write_text(world.app.private_key, encoding="ascii")
    return {
        "DATABASE_URL": f"sqlite:///{folder / 'zekt.db'}",
        "PORT": str(port),
        "ZEKT_HOST": HOST,
        "ZEKT_PUBLIC_URL": f"http://{HOST}:{port}",
        "ZEKT_GITHUB_URL": world.github.web_url,
        "ZEKT_GITHUB_API_URL": world.github.api_url,
        "ZEKT_ORCHESTRATOR_APP_ID": str(world.app.app_id),
        "ZEKT_ORCHESTRATOR_PRIVATE_KEY_FILE": str(key),
        "ZEKT_ORCHESTRATOR_WEBHOOK_SECRET": world.app.webhook_secret,
        "LOG_LEVEL": os.environ.get("LOG_LEVEL", "WARNING"),
        "LOG_FORMAT": os.environ.get("LOG_FORMAT", "console"),
    }


@asynccontextmanager
async def kept_port() -> AsyncIterator[int]:
    """A port that nobody else is given until its server starts, or starts again.

    Apps and tokens are made for the server's address, so that it must be known before. On Linux
    who names the port may listen at it while it is held here; elsewhere it is let go.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((HOST, 0))
        port: int = held.getsockname()[1]
        if sys.platform != "linux":
            held.close()
        yield port
