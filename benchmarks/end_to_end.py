"""From a webhook to its recorded dispatch, in one process: how many, and how long it takes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import harness, webhooks, world
from benchmarks.delivery import Measured, posts, unsent
from benchmarks.harness import Options, Table, median, percentile, served
from benchmarks.traffic import Sink, hammer, open_sink, paced
from zekt_bot import config
from zekt_bot.app import open_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.harness import Served
    from zekt_bot.operations.broker import Broker

_OF = world.World(services=200, subscribers=1)
_PER_SECOND = 100.0


async def throughput(
    broker: Broker, process: Served, sink: Sink, requests: list[bytes]
) -> tuple[float, float]:
    """Events a second, and CPU microseconds an event."""
    sink.expect(len(requests))
    used, began = process.cpu(), time.perf_counter()
    await hammer(process.port, iter(requests))
    await asyncio.wait_for(sink.reached.wait(), 600)
    while await broker.database.query(unsent):
        await asyncio.sleep(0.02)
    took, cpu = time.perf_counter() - began, process.cpu() - used
    return len(requests) / took, cpu / len(requests) * 1e6


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from each webhook's being sent until its dispatch has come, or its answer."""

    dispatches: list[float]
    answers: list[float]


async def latency(
    port: int, sink: Sink, requests: dict[int, bytes], per_second: float = _PER_SECOND
) -> Latency:
    """Send webhooks, by their numbers, at a steady pace; other dispatches may come in between."""
    came: dict[int, float] = {}
    all_came = asyncio.Event()

    def hear(body: bytes) -> None:
        number = webhooks.run_number(body)
        if number in requests:
            came.setdefault(number, time.perf_counter())
            if len(came) == len(requests):
                all_came.set()

    sink.heard = hear
    sent: dict[int, float] = {}

    def timed() -> Iterator[bytes]:
        for number, request in requests.items():
            sent[number] = time.perf_counter()
            yield request

    answers = await paced(port, timed(), per_second)
    await asyncio.wait_for(all_came.wait(), 600)
    sink.heard = lambda body: None
    if answers.bad:
        raise RuntimeError(f"{answers.bad} of {len(requests)} webhooks were refused")
    return Latency(
        [(came[number] - moment) * 1000 for number, moment in sent.items()],
        [seconds * 1000 for seconds in answers.seconds],
    )


async def once(
    asked: Options, url: str, sink: Sink, shape: bytes, **more: str
) -> tuple[float, float, float, float]:
    """Events a second, CPU an event, p50 and p99."""
    unpaced = {"ZEKT_LANE_PER_MINUTE": "0", "ZEKT_LANE_IN_FLIGHT": "50"}
    environ = world.environ(url, sink.port, **unpaced, **more)
    settings = config.load(environ)
    await world.migrated(settings)
    warm, slow = asked.size(400, 400, 10), asked.size(1_500, 500, 5)
    many, of = asked.size(10_000, 2_500, 20), _OF.repositories
    async with open_broker(settings) as broker:
        await _OF.settle(broker)
        async with served("whole", environ=environ, here=asked.here) as process:
            await throughput(broker, process, sink, webhooks.webhooks(shape, warm, of))
            some = webhooks.webhooks(shape, slow, of, warm)
            taken = (await latency(process.port, sink, dict(enumerate(some, warm)))).dispatches
            requests = webhooks.webhooks(shape, many, of, warm + slow)
            rate, cpu = await throughput(broker, process, sink, requests)
    return rate, cpu, percentile(taken, 0.5), percentile(taken, 0.99)


async def main(asked: Options) -> None:
    """Measure and report."""
    shape = await webhooks.template(9 * 1024)
    sink, listening = await open_sink()
    costs = "CPU µs each", "events per CPU second", "CPU, in bare POSTs"
    table = Table(("way", "events/s", *costs, "p50 ms at 100/s", "p99 ms"))
    found: dict[str, list[tuple[float, ...]]] = {way: [] for way in asked.databases}
    bare, told = Measured(), []
    with harness.postgres(asked) as server:
        for way in asked.databases:
            for _ in range(asked.runs):
                await posts(sink, asked.size(20_000, 4_000, 20), bare)
                with harness.fresh(way, server) as url:
                    found[way].append(await once(asked, url, sink, shape))
        for way in asked.profiled:
            with harness.fresh(way, server) as url, harness.profiled() as profile:
                await once(asked, url, sink, shape, **profile)
                told.append(harness.where(profile, f"the server on {way}"))
    listening.close()
    for way, runs in found.items():
        rate, cpu, middle, slow = (median(values) for values in zip(*runs, strict=True))
        table.add(
            way,
            f"{rate:,.0f}",
            f"{cpu:.0f}",
            f"{1e6 / cpu:,.0f}",
            f"{cpu / median(bare.costs):.1f}",
            f"{middle:.0f}",
            f"{slow:.0f}",
        )
    alone = Table(("aiohttp's client alone", "POSTs/s", "CPU µs each"))
    alone.add("posts", f"{median(bare.rates):,.0f}", f"{median(bare.costs):.0f}")
    harness.report(asked, "end_to_end", table, alone, *told)


if __name__ == "__main__":
    asyncio.run(main(harness.options(__doc__)))
