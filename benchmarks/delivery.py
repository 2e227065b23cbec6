"""A backlog sent to a bare sink, beside aiohttp POSTs of the same size to the same sink."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update

from benchmarks import harness, world
from benchmarks.harness import Options, Table, median, served
from benchmarks.traffic import Sink, open_sink
from zekt_bot import config
from zekt_bot.app import open_broker
from zekt_bot.db import tables, units

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.operations.broker import Broker

_BYTES = 1_200  # as long as what Zekt sends here


@dataclass
class Measured:
    """POSTs a second and CPU microseconds a POST, a run each."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)


async def posts(sink: Sink, count: int, found: Measured) -> None:
    """aiohttp alone."""
    sink.expect(count)
    url = f"http://127.0.0.1:{sink.port}/repos/octo/one/dispatches"
    async with served("posts", url, str(count), str(_BYTES)) as process:
        assert process.process is not None
        assert process.process.stdin is not None
        process.process.stdin.write(b"begin\n")
        _, wall, cpu = (await process.until("done")).split()
    found.rates.append(count / float(wall))
    found.costs.append(float(cpu) / count * 1e6)


async def backlog(
    asked: Options, url: str, sink: Sink, of: world.World, **more: str
) -> tuple[float, float]:
    """Zekt's worker, from the first POST until the last result is recorded.

    One delivery of each lane goes before: then every installation's token is there.
    """
    events = asked.size(10, 2, 1)
    environ = world.environ(url, sink.port, **more)
    settings = config.load(environ)
    await world.migrated(settings)
    async with open_broker(settings) as broker:
        await of.settle(broker)
        sink.expect(await of.backlog(broker, 1))
        async with served("worker", environ=environ, here=asked.here) as process:
            await all_sent(broker, sink)
            count = await of.backlog(broker, events, due_at=None)
            sink.expect(count)
            used = process.cpu()
            await broker.database.write(wake, broker.now())
            await all_sent(broker, sink)
            rate = count / (time.perf_counter() - sink.first_at)
            cost = (process.cpu() - used) / count * 1e6
        if sink.count != count:
            raise RuntimeError(f"{sink.count} POSTs of {count} deliveries")
    return rate, cost


async def all_sent(broker: Broker, sink: Sink) -> None:
    """Wait until all have come and are recorded."""
    await asyncio.wait_for(sink.reached.wait(), 600)
    while await broker.database.query(unsent):
        await asyncio.sleep(0.02)


def wake(connection: Connection, rows: Sequence[datetime]) -> list[None]:
    """Make the whole backlog due at once."""
    waiting = update(tables.deliveries).where(tables.deliveries.c.state == "pending")
    connection.execute(waiting.values(due_at=rows[0]))
    connection.execute(update(tables.lanes).values(next_ready_at=rows[0]))
    units.wake(connection, "deliveries")
    return [None] * len(rows)


def unsent(connection: Connection) -> int:
    """How many deliveries are not dispatched."""
    waiting = select(func.count()).where(tables.deliveries.c.state != "dispatched")
    return int(connection.execute(waiting).scalar_one())


async def main(asked: Options) -> None:
    """Measure and report."""
    of = world.World(services=asked.size(200, 200, 3), subscribers=10)
    ways = ["posts", *asked.databases]
    found = {way: Measured() for way in ways}
    sink, listening = await open_sink()
    with harness.postgres(asked) as server:
        for _ in range(asked.runs):
            await posts(sink, of.lanes * asked.size(10, 2, 1), found["posts"])
            for way in asked.databases:
                with harness.fresh(way, server) as url:
                    rate, cost = await backlog(asked, url, sink, of)
                    found[way].rates.append(rate)
                    found[way].costs.append(cost)
        told = []
        for way in asked.profiled:
            with harness.fresh(way, server) as url, harness.profiled() as profile:
                await backlog(asked, url, sink, of, **profile)
                told.append(harness.where(profile, f"the worker on {way}"))
    listening.close()
    bare = found["posts"]
    table = Table(("way", "POSTs/s", "of aiohttp's", "CPU µs each", "of aiohttp's, by CPU"))
    for way in ways:
        got = found[way]
        table.add(
            way,
            f"{median(got.rates):,.0f}",
            f"{median(got.rates) / median(bare.rates):.2f}",
            f"{median(got.costs):.0f}",
            f"{median(bare.costs) / median(got.costs):.2f}",
        )
    harness.report(asked, "delivery", table, *told)


if __name__ == "__main__":
    asyncio.run(main(harness.options(__doc__)))
