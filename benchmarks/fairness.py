"""Others' latency beside one lane in which 50,000 deliveries wait and which is closed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from benchmarks import harness, webhooks, world
from benchmarks.end_to_end import latency
from benchmarks.harness import Options, Table, median, percentile, served
from benchmarks.traffic import Sink, open_sink
from zekt_bot import config
from zekt_bot.app import open_broker
from zekt_bot.db import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.operations.broker import Broker

_OF, _CROWDED = world.World(services=200, subscribers=1), world.World(services=1, subscribers=1)
_PER_SECOND = 50.0


async def crowd(broker: Broker, count: int) -> None:
    """Let so many deliveries wait in the first lane, which stays closed."""
    await _CROWDED.backlog(broker, count)
    later = broker.now() + timedelta(hours=1)

    def close(connection: Connection, rows: Sequence[Any]) -> Sequence[Any]:
        connection.execute(update(tables.lanes).values(open_at=later, next_ready_at=later))
        return rows

    await broker.database.write(close, None)


async def once(asked: Options, url: str, sink: Sink, shape: bytes, waiting: int) -> list[float]:
    """Latencies of the other lanes."""
    environ = world.environ(url, sink.port, ZEKT_LANE_PER_MINUTE="0")
    settings = config.load(environ)
    await world.migrated(settings)
    async with open_broker(settings) as broker:
        await _OF.settle(broker)
        if waiting:
            await crowd(broker, waiting)
        async with served("whole", environ=environ, here=asked.here) as process:
            others, warm = _OF.repositories[1:], asked.size(200, 200, 5)
            made = webhooks.webhooks(shape, warm + asked.size(1_000, 200, 5), others)
            taken = await latency(process.port, sink, dict(enumerate(made)), _PER_SECOND)
            return taken.dispatches[warm:]


async def main(asked: Options) -> None:
    """Measure and report."""
    waiting = asked.size(50_000, 5_000, 50)
    shape = await webhooks.template(9 * 1024)
    sink, listening = await open_sink()
    table = Table(("way", "waiting", "p50 ms", "p99 ms", "p99 with / without"))
    with harness.postgres(asked) as server:
        for way in asked.databases:
            found: dict[int, list[list[float]]] = {0: [], waiting: []}
            for _ in range(asked.runs):
                for count, runs in found.items():
                    with harness.fresh(way, server) as url:
                        runs.append(await once(asked, url, sink, shape, count))
            slow = {n: median([percentile(r, 0.99) for r in runs]) for n, runs in found.items()}
            for count, runs in found.items():
                middle = median([percentile(run, 0.5) for run in runs])
                ratio = f"{slow[count] / slow[0]:.2f}"
                table.add(way, f"{count:,}", f"{middle:.0f}", f"{slow[count]:.0f}", ratio)
    listening.close()
    harness.report(asked, "fairness", table)


if __name__ == "__main__":
    asyncio.run(main(harness.options(__doc__)))
