"""A server with nothing to do: its CPU and memory, and how soon it hears of an event."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from benchmarks import harness, webhooks, world
from benchmarks.end_to_end import latency
from benchmarks.harness import Options, Table, median, served
from benchmarks.traffic import Sink, open_sink
from zekt_bot import config
from zekt_bot.app import open_broker


async def once(
    asked: Options, modes: tuple[str, ...], url: str, sink: Sink
) -> tuple[float, float, float]:
    """Wait, then send one event after the other to a server that had nothing to do.

    Answers its share of a core at rest, its memory in MB, and milliseconds from webhook to POST.
    """
    of = world.World(services=asked.size(20, 20, 1), subscribers=1)
    environ = world.environ(url, sink.port)
    settings = config.load(environ)
    await world.migrated(settings)
    shape = await webhooks.template(9 * 1024)
    seconds = asked.size(30, 5, 1)
    async with open_broker(settings) as broker:
        await of.settle(broker)
    async with AsyncExitStack() as started:
        processes = [
            await started.enter_async_context(served(mode, environ=environ, here=asked.here))
            for mode in modes
        ]
        await asyncio.sleep(asked.size(3, 3, 0))
        used = sum(process.cpu() for process in processes)
        await asyncio.sleep(seconds)
        spent = sum(process.cpu() for process in processes) - used
        memory = sum(process.memory() for process in processes)
        count = of.services + asked.size(40, 10, 2)
        requests = dict(enumerate(webhooks.webhooks(shape, count, of.repositories)))
        taken = (await latency(processes[0].port, sink, requests, 4.0)).dispatches
    return spent / seconds, memory, median(taken[of.services :])


async def main(asked: Options) -> None:
    """Measure and report."""
    sink, listening = await open_sink()
    table = Table(
        ("way", "processes", "CPU at rest", "memory, MB", "webhook to POST, ms in the middle")
    )
    with harness.postgres(asked) as server:
        for way in asked.databases:
            modes = ("web", "worker") if way == "postgresql" else ("whole",)
            found = []
            for _ in range(asked.runs):
                with harness.fresh(way, server) as url:
                    found.append(await once(asked, modes, url, sink))
            share, memory, middle = (median(values) for values in zip(*found, strict=True))
            table.add(
                way, " and ".join(modes), f"{share * 100:.2f} %", f"{memory:.0f}", f"{middle:.0f}"
            )
    listening.close()
    harness.report(asked, "idle", table)


if __name__ == "__main__":
    asyncio.run(main(harness.options(__doc__)))
