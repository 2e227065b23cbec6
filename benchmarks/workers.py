"""One, two and four worker processes on PostgreSQL: no delivery twice, and not slower together."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

from benchmarks import harness, world
from benchmarks.delivery import unsent, wake
from benchmarks.harness import Options, Table, median, served
from benchmarks.traffic import Sink, open_sink
from zekt_bot import config
from zekt_bot.app import open_broker


async def once(asked: Options, url: str, sink: Sink, workers: int) -> tuple[float, int]:
    """Dispatches a second of all together, and how many were sent more than once.

    Nothing is due until all of them run.
    """
    of = world.World(services=asked.size(200, 200, 3), subscribers=10)
    environ = world.environ(url, sink.port)
    settings = config.load(environ)
    await world.migrated(settings)
    seen: Counter[bytes] = Counter()

    def hear(body: bytes) -> None:
        seen[body.partition(b'"deliveryId":"')[2][:30]] += 1

    async with open_broker(settings) as broker, AsyncExitStack() as processes:
        await of.settle(broker)
        count = await of.backlog(broker, asked.size(10, 2, 1), due_at=None)
        sink.heard = hear
        sink.expect(count)
        for _ in range(workers):
            one = served("worker", environ=environ, anywhere=True, here=asked.here)
            await processes.enter_async_context(one)
        await broker.database.write(wake, broker.now())
        await asyncio.wait_for(sink.reached.wait(), 600)
        while await broker.database.query(unsent):
            await asyncio.sleep(0.02)
        await asyncio.sleep(asked.size(1, 1, 0))  # would one be sent once more?
    sink.heard = lambda body: None
    if len(seen) != count:
        raise RuntimeError(f"{len(seen)} of {count} deliveries came")
    return count / (sink.last_at - sink.first_at), sum(each > 1 for each in seen.values())


async def main(asked: Options) -> None:
    """Measure and report."""
    if "postgresql" not in asked.databases:
        print("\nworkers: SQLite has one worker, there is nothing to measure.")
        return
    sink, listening = await open_sink()
    table = Table(("workers", "dispatches/s together", "of one worker's", "sent twice"))
    with harness.postgres(asked) as server:
        found: dict[int, list[tuple[float, int]]] = {
            workers: [] for workers in (1, 2, 4)[: asked.size(3, 3, 2)]
        }
        for _ in range(asked.runs):
            for workers, runs in found.items():
                with harness.fresh("postgresql", server) as url:
                    runs.append(await once(asked, url, sink, workers))
    listening.close()
    alone = median([rate for rate, _ in found[1]])
    for workers, runs in found.items():
        rate, twice = median([rate for rate, _ in runs]), sum(twice for _, twice in runs)
        table.add(workers, f"{rate:,.0f}", f"{rate / alone:.2f}", twice)
    harness.report(asked, "workers", table)


if __name__ == "__main__":
    asyncio.run(main(harness.options(__doc__)))
