"""`zekt serve`, `zekt worker` and `zekt migrate`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from threading import Thread, Timer
from typing import TYPE_CHECKING, NoReturn

import click
import structlog

from zekt_bot.cli.session import load_settings
from zekt_bot.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zekt_bot.config import Settings
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.heartbeat import Kind

_STOPPING = (signal.SIGTERM, signal.SIGINT)
_MARGIN = timedelta(seconds=4)  # after the shutdown's time: leases are given back, all is closed
_log = structlog.get_logger()


@click.command()
@click.option("--no-worker", is_flag=True, help="HTTP only; `zekt worker` runs elsewhere.")
def serve(no_worker: bool) -> None:
    """Run the server: webhooks over HTTP, and a worker.

    On SQLite it brings the tables to this version's by itself. On PostgreSQL it names
    `zekt migrate` and stops if they are not.

    It stops on SIGTERM or SIGINT: what is in flight ends first, then it exits with 0. A second
    signal ends it at once, and so do four seconds more than ZEKT_SHUTDOWN_TIMEOUT.
    """
    settings = load_settings()
    if no_worker and not settings.on_postgresql:
        raise ConfigurationError(
            "SQLite serves one process, so the worker must run in it: leave out --no-worker, or "
            "use PostgreSQL (DATABASE_URL)."
        )
    asyncio.run(_serve(settings, web=True, work=not no_worker))


@click.command()
def worker() -> None:
    """Run a worker without HTTP beside `zekt serve`.

    It needs PostgreSQL, where any number of them may run. It stops like `zekt serve`.
    """
    settings = load_settings()
    if not settings.on_postgresql:
        raise ConfigurationError(
            "SQLite serves one process, and `zekt serve` has a worker of its own: run that, or "
            "use PostgreSQL (DATABASE_URL)."
        )
    asyncio.run(_serve(settings, web=False, work=True))


@click.command()
def migrate() -> None:
    """Bring the database's tables to this version's.

    On PostgreSQL, run it before `zekt serve` and `zekt worker` of this version start.
    """
    settings = load_settings()
    click.echo(f"The tables in {asyncio.run(_migrate(settings))} are this version's.")


async def _migrate(settings: Settings) -> str:
    from zekt_bot.clock import SystemClock
    from zekt_bot.db.database import Database

    database = Database(settings, SystemClock())
    try:
        await database.migrate()
    finally:
        await database.close()
    return database.address.shown


async def _serve(settings: Settings, *, web: bool, work: bool) -> None:
    from zekt_bot.app import open_broker, serving, settle, working
    from zekt_bot.operations.heartbeat import beating

    kind: Kind = "serve" if web and work else "web" if web else "worker"

    with stop_signals(settings.shutdown_timeout + _MARGIN) as stop:
        async with open_broker(settings, server=True) as broker, AsyncExitStack() as parts:
            await _warn(broker)
            await parts.enter_async_context(beating(broker, kind))
            running = await parts.enter_async_context(working(broker)) if work else None
            if web:
                port = await parts.enter_async_context(serving(broker))
                await _offer_setup(broker)
                _log.info("server.listening", port=port, url=_url(settings, port), worker=work)
            else:
                _log.info("worker.started")
            settle()
            await stop.wait()
            _log.info("server.stopping" if web else "worker.stopping")
            if running:
                running.stop()  # takes no more work while requests in flight end
    _log.info("server.stopped" if web else "worker.stopped")


@contextmanager
def stop_signals(within: timedelta | None = None) -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set; the second of them ends the process at once.

    `within`: so does this time after the first, whatever the process still waits for.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    numbers: list[int] = []

    def told(number: int, _frame: object) -> None:  # by Python itself: the loop may be stuck
        numbers.append(number)
        if len(numbers) > 1:
            _end_at_once(number)
        if within is not None:
            _end_after(within, number)
        loop.call_soon_threadsafe(stop.set)

    former = {number: signal.signal(number, told) for number in _STOPPING}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _end_after(within: timedelta, number: int) -> None:
    """By a thread of its own: the loop may be closed, and threads be waited for."""

    def tell() -> None:
        _log.error("process.cut_off", after_seconds=within.total_seconds())
        sys.stderr.flush()

    timer = Timer(within.total_seconds(), _end_at_once, (number, tell))
    timer.daemon = True
    timer.start()


def _end_at_once(number: int, tell: Callable[[], None] | None = None) -> NoReturn:
    """`tell` has a second: nobody may be reading the log any more."""
    telling = Thread(target=tell or sys.stderr.flush, daemon=True)
    telling.start()
    telling.join(1)
    os._exit(128 + number)


async def _offer_setup(broker: Broker) -> None:
    """Print the setup's link at the very first start; it is no line of the log."""
    from zekt_bot.operations.setup import first_link

    link = await first_link(broker)
    if link:
        click.echo(f"Set this server up, once and within a day: {link}")


def _url(settings: Settings, port: int) -> str:
    """The public URL; with PORT=0 nobody could know the port before."""
    url = settings.public_url
    return f"{url.removesuffix(':0')}:{port}" if url.endswith(":0") else url


async def _warn(broker: Broker) -> None:
    """Say what the server lacks: it starts, so that health can be seen, but cannot do its work.

    Raises:
        ConfigurationError: the App's private key cannot be used.
    """
    from zekt_bot.github.octo import app_config

    held = await broker.credentials.get("orchestrator")
    lacks = {
        "ZEKT_ORCHESTRATOR_WEBHOOK_SECRET": not held.webhook_secrets,
        "ZEKT_ORCHESTRATOR_APP_ID": not held.app_id,
        "ZEKT_ORCHESTRATOR_PRIVATE_KEY": not held.private_key,
    }
    effects = {
        "ZEKT_ORCHESTRATOR_WEBHOOK_SECRET": "no webhook is accepted (503)",
        "ZEKT_ORCHESTRATOR_APP_ID": "GitHub cannot be asked, nothing is dispatched",
        "ZEKT_ORCHESTRATOR_PRIVATE_KEY": "GitHub cannot be asked, nothing is dispatched",
    }
    if held.app_id and held.private_key:  # a wrong key is better found now than at a delivery
        await asyncio.to_thread(app_config, held)
    for variable in (name for name, missing in lacks.items() if missing):
        _log.warning("settings.missing", variable=variable, effect=effects[variable])
