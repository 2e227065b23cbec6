"""What old rows cost: claims and ingest beside many finished deliveries; and one wide fan-out."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

from multidict import CIMultiDict
from sqlalchemy import delete, func, select

from benchmarks import harness, rows, webhooks, world
from benchmarks.end_to_end import latency
from benchmarks.harness import Options, Table, median, served
from benchmarks.served import SECRET
from benchmarks.traffic import Sink, hammer, open_sink
from tests import databases
from tests.db.rows import leased
from zekt_bot import config
from zekt_bot.app import open_broker
from zekt_bot.db import lanes, tables
from zekt_bot.pipeline import verify
from zekt_bot.pipeline.store import store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from zekt_bot.operations.broker import Broker

_AT_ONCE = 64
_A_LANE = 3  # what waits in each lane: a claim of 192 then reads 64 lanes, and leaves none of it
_OTHERS_PER_SECOND = 50


async def claim(broker: Broker, claims: int) -> float:
    """Milliseconds of one claim of 192 deliveries, each of other lanes."""
    taken = []
    for _ in range(claims):
        now, began = broker.now(), time.perf_counter()
        until = now + timedelta(seconds=60)
        request = lanes.LaneClaim(now, until, "benchmark", 192, broker.settings.pace)
        if len(await broker.database.write(leased, request)) != 192:
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
            lines = [line.partition(": ")[::2] for line in head.decode().split("\r\n")[1:]]
            found.append(verify.read("orchestrator", (SECRET.encode(),), CIMultiDict(lines), body))
        began = time.perf_counter()
        await asyncio.gather(*(store(broker, webhook) for webhook in found))
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


async def old_rows(asked: Options, way: str, server: str | None, table: Table) -> None:
    """Claims and ingest in a database without old deliveries and in one with, by turns."""
    of = world.World(asked.size(100, 100, 4), asked.size(100, 100, 20))  # 10,000 lanes
    rounds = asked.size(200 if way == "postgresql" else 100, 5, 1)
    if asked.old is not None:
        rounds = max(1, asked.old // of.lanes)
    count = asked.size(20, 20, 1) * _AT_ONCE
    shape = await webhooks.template(9 * 1024)
    found: dict[int, list[tuple[float, float]]] = {0: [], rounds: []}
    async with AsyncExitStack() as opened:
        beside: dict[int, tuple[str, Broker]] = {}
        for old in found:
            url = opened.enter_context(harness.fresh(way, server))
            settings = config.load(world.environ(url))
            await world.migrated(settings)
            broker = await opened.enter_async_context(open_broker(settings))
            await of.settle(broker)
            for _ in range(old):
                await of.backlog(broker, 1, state="dispatched", due_at=None)
            beside[old] = url, broker
        for run in range(asked.runs):
            requests = webhooks.webhooks(shape, count, of.repositories, run * count)
            for old, (url, broker) in beside.items():
                await broker.database.write(clear, None)
                await of.backlog(broker, _A_LANE)
                if way == "postgresql":
                    databases.execute(url, "VACUUM ANALYZE")  # else it would begin by itself
                claims = await claim(broker, asked.size(30, 30, 1))
                found[old].append((claims, await ingest(broker, requests)))
    for number, name in enumerate(("claim", "ingest of 64")):
        before, after = (median([each[number] for each in runs]) for runs in found.values())
        many = f"{rounds * of.lanes:,}"
        table.add(way, name, many, f"{before:.1f}", f"{after:.1f}", f"{after / before:.2f}")


def clear(connection: Connection, calls: Sequence[None]) -> list[None]:
    """Remove what still waits, and the lanes with what they remember."""
    connection.execute(delete(tables.deliveries).where(tables.deliveries.c.state == "pending"))
    connection.execute(delete(tables.lanes))
    return [None] * len(calls)


async def fan_out(
    asked: Options, url: str, sink: Sink, consumers: int
) -> tuple[float, float, float, float]:
    """One event to so many subscriptions, while others, of one subscription each, come in.

    Answers the seconds until its deliveries were written, the MB that the process grew by, and of
    the others the most milliseconds until the 202 and until the POST.
    """
    wide = world.World(1, consumers)
    others = world.World(49, 1, first=consumers)
    environ = world.environ(url, sink.port, ZEKT_LANE_PER_MINUTE="0")
    settings = config.load(environ)
    await world.migrated(settings)
    shape = await webhooks.template(9 * 1024)
    warm, more = asked.size(100, 100, 5), asked.size(15, 5, 1) * _OTHERS_PER_SECOND
    made = webhooks.webhooks(shape, warm + more, others.repositories)
    requests = dict(enumerate(made))
    first = {number: requests.pop(number) for number in range(warm)}
    async with open_broker(settings) as broker:
        await wide.settle(broker)
        await others.settle(broker)
        async with served("whole", environ=environ, here=asked.here) as process:
            await latency(process.port, sink, first, _OTHERS_PER_SECOND)
            most = before = process.memory()
            going = asyncio.create_task(latency(process.port, sink, requests, _OTHERS_PER_SECOND))
            began, took = time.perf_counter(), 0.0
            event = webhooks.webhooks(shape, 1, wide.repositories, len(made))
            await hammer(process.port, iter(event), 1)
            while not (took and going.done()):
                most = max(most, process.memory())
                if not took and await broker.database.query(written) == consumers:
                    took = time.perf_counter() - began
                await asyncio.sleep(0.05)
            found = await going
    return took, most - before, max(found.answers), max(found.dispatches)


def written(connection: Connection) -> int:
    """How many deliveries of the first service there are."""
    mine = tables.deliveries.c.service_id == rows.service_id(0)
    counted = select(func.count()).select_from(tables.deliveries).where(mine)
    return int(connection.execute(counted).scalar_one())


async def main(asked: Options) -> None:
    """Measure and report."""
    old = Table(("way", "what", "old deliveries", "empty, ms", "beside them, ms", "ratio"))
    wide = Table(
        (
            "way",
            "subscriptions",
            "written in s",
            "more memory, MB",
            "others' slowest 202, ms",
            "others' slowest POST, ms",
        )
    )
    consumers = asked.size(10_000, 2_000, 20)
    sink, listening = await open_sink()
    with harness.postgres(asked) as server:
        for way in asked.databases:
            await old_rows(asked, way, server, old)
            found = []
            for _ in range(asked.runs):
                with harness.fresh(way, server) as url:
                    found.append(await fan_out(asked, url, sink, consumers))
            took, grown, answer, post = (median(values) for values in zip(*found, strict=True))
            cells = f"{took:.1f}", f"{grown:.0f}", f"{answer:.0f}", f"{post:.0f}"
            wide.add(way, f"{consumers:,}", *cells)
    listening.close()
    harness.report(asked, "scale", old, wide)


if __name__ == "__main__":
    asyncio.run(main(harness.options(__doc__)))
