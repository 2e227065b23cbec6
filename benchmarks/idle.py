"""A server with nothing to do: its CPU and memory, and how soon it hears of an event."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from benchmarks import harness, world
from benchmarks.end_to_end import latency
from benchmarks.harness import Options, Table, percentile, served
from benchmarks.traffic import Sink, open_sink
from zekt_bot import config
from zekt_bot.app import open_broker

_OF = world.World(services=20, subscribers=1)


async def once(asked: Options, way: str, url: str, sink: Sink, table: Table) -> None:
    """Wait, then send one event after the other to a server that had nothing to do."""
    environ = world.environ(url, sink.port)
    settings = config.load(environ)
    await world.migrated(settings)
    shape = await world.template(9 * 1024)
    seconds = asked.size(30, 5)
    async with open_broker(settings) as broker:
        await _OF.settle(broker)
    apart = way == "postgresql"
    async with AsyncExitStack() as started:
        modes = ("web", "worker") if apart else ("whole",)
        processes = [
            await started.enter_async_context(served(mode, environ=environ)) for mode in modes
        ]
        await asyncio.sleep(3)
        used = sum(process.cpu() for process in processes)
        await asyncio.sleep(seconds)
        spent = sum(process.cpu() for process in processes) - used
        requests = dict(enumerate(world.webhooks(shape, asked.size(60, 30), _OF.services)))
        taken = await latency(processes[0].port, sink, requests, 4.0)
        memory = sum(process.memory() for process in processes)
    table.add(
        way,
        "web and worker" if apart else "one",
        f"{spent / seconds * 100:.2f} %",
        f"{memory:.0f}",
        f"{percentile(taken[_OF.services :], 0.5):.0f}",
    )


async def main(asked: Options) -> None:
    """Measure and report."""
    sink, listening = await open_sink()
    table = Table(
        ("way", "processes", "CPU at rest", "memory, MB", "webhook to POST, ms in the middle")
    )
    with harness.postgres(asked) as server:
        for way in asked.databases:
            with harness.fresh(way, server) as url:
                await once(asked, way, url, sink, table)
    listening.close()
    harness.report(asked, "idle", table)


if __name__ == "__main__":
    asyncio.run(main(harness.options(__doc__)))
