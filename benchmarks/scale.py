"""What old rows cost: claims and ingest beside many finished deliveries; and one wide fan-out."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from benchmarks import harness, world
from benchmarks.harness import Options, Table, median, served
from benchmarks.served import SECRET
from benchmarks.traffic import hammer, open_sink, paced
from zekt_bot import config
from zekt_bot.app import open_broker
from zekt_bot.db import lanes, tables
from zekt_bot.pipeline import verify
from zekt_bot.pipeline.store import store

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from zekt_bot.operations.broker import Broker

_OF = world.World(services=100, subscribers=100)  # 10,000 lanes
_CLAIMS, _AT_ONCE = 30, 64


async def claim(broker: Broker) -> float:
    """Milliseconds of one claim of 192 deliveries over 10,000 lanes that are all ready."""
    taken = []
    for _ in range(_CLAIMS):
        now, began = broker.now(), time.perf_counter()
        until = now + timedelta(seconds=60)
        request = lanes.LaneClaim(now, until, "benchmark", 192, broker.settings.pace)
        if len(await broker.database.write(lanes.claim, request)) != 192:
            raise RuntimeError("too few deliveries are due")
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


async def ingest(broker: Broker, requests: list[bytes]) -> float:
    """Milliseconds to store 64 webhooks that come at once."""
    taken = []
    for start in range(0, len(requests), _AT_ONCE):
        found = []
        for request in requests[start : start + _AT_ONCE]:
            head, _, body = request.partition(b"\r\n\r\n")
            lines = [line.partition(b": ")[::2] for line in head.split(b"\r\n")[1:]]
            found.append(verify.read("orchestrator", (SECRET.encode(),), lines, body))
        began = time.perf_counter()
        await asyncio.gather(*(store(broker, webhook) for webhook in found))
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


async def old_rows(asked: Options, way: str, url: str, table: Table) -> None:
    """Claims and ingest on an empty database and beside old deliveries."""
    rounds = asked.size(200 if way == "postgresql" else 100, 5)
    shape = await world.template(9 * 1024)
    settings = config.load(world.environ(url))
    await world.migrated(settings)
    found = {}
    async with open_broker(settings) as broker:
        await _OF.settle(broker)
        first, count = 0, 20 * _AT_ONCE
        for old in (0, rounds):
            for _ in range(old):
                await _OF.backlog(broker, 1, state="dispatched", due_at=None)
            await _OF.backlog(broker, 2)
            requests = world.webhooks(shape, count, _OF.services, first)
            first += count
            found[old] = await claim(broker), await ingest(broker, requests)
    bare, crowded = found[0], found[rounds]
    for name, before, after in zip(("claim", "ingest of 64"), bare, crowded, strict=True):
        beside = f"{rounds * _OF.lanes:,}"
        table.add(way, name, beside, f"{before:.1f}", f"{after:.1f}", f"{after / before:.2f}")


async def fan_out(way: str, url: str, consumers: int, table: Table) -> None:
    """One event to so many subscriptions, while other webhooks come in."""
    sink, listening = await open_sink()
    of = world.World(services=1, subscribers=consumers)
    environ = world.environ(url, sink.port)
    settings = config.load(environ)
    await world.migrated(settings)
    shape = await world.template(9 * 1024)
    async with open_broker(settings) as broker:
        await of.settle(broker)
        async with served("whole", environ=environ) as process:
            before, began = process.memory(), time.perf_counter()
            await hammer(process.port, iter(world.webhooks(shape, 1, 1)), 1)
            others = world.webhooks(shape, 2_000, 50, 1)
            going = asyncio.create_task(paced(process.port, iter(others), 50))
            most = before
            while await broker.database.query(made) < consumers:
                most = max(most, process.memory())
                await asyncio.sleep(0.02)
            took = time.perf_counter() - began
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)
            slowest = await going_on(process.port, world.webhooks(shape, 100, 50, 3_000))
    listening.close()
    table.add(way, f"{consumers:,}", f"{took:.1f}", f"{most - before:.0f}", f"{slowest:.0f}")


async def going_on(port: int, requests: list[bytes]) -> float:
    """The slowest answer to other webhooks while the deliveries go out, in ms."""
    answers = await paced(port, iter(requests), 50)
    return max(answers.seconds) * 1000


def made(connection: Connection) -> int:
    """How many deliveries there are."""
    counted = select(func.count()).select_from(tables.deliveries)
    return int(connection.execute(counted).scalar_one())


async def main(asked: Options) -> None:
    """Measure and report."""
    old = Table(("way", "what", "old deliveries", "empty, ms", "beside them, ms", "ratio"))
    wide = Table(("way", "subscriptions", "written in s", "more memory, MB", "slowest 202, ms"))
    with harness.postgres(asked) as server:
        for way in asked.databases:
            with harness.fresh(way, server) as url:
                await old_rows(asked, way, url, old)
            with harness.fresh(way, server) as url:
                await fan_out(way, url, asked.size(10_000, 2_000), wide)
    harness.report(asked, "scale", old, wide)


if __name__ == "__main__":
    asyncio.run(main(harness.options(__doc__)))
