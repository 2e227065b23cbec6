"""Runs whose messages wait for their webhooks: what the end of a run costs then, and memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks import harness, sending, tokens, webhooks, world
from benchmarks.end_to_end import throughput
from benchmarks.harness import Options, Table, median, served
from benchmarks.traffic import hammer, open_sink
from zekt_bot import config
from zekt_bot.app import open_broker

if TYPE_CHECKING:
    from benchmarks.tokens import Issuer
    from benchmarks.traffic import Sink

_OF = world.World(services=200, subscribers=1)
_SIZE = 10 * 1024
_MB = ("before", "while they wait", "when all went")


async def once(
    asked: Options, url: str, sink: Sink, issuer: Issuer, shape: bytes
) -> tuple[list[float], ...]:
    """Runs without messages, then as many with one each: events a second and CPU µs; memory."""
    unpaced = {"ZEKT_LANE_PER_MINUTE": "0", "ZEKT_LANE_IN_FLIGHT": "50"}
    settings = world.taking_messages(url, sink.port, issuer, **unpaced)
    await _OF.prepare(settings)
    warm, many, of = asked.size(400, 400, 10), asked.size(1_000, 1_000, 10), _OF.repositories
    posts = list(sending.messages(issuer, sending.payload(_SIZE), many, of, warm + many))
    async with (
        open_broker(config.load(settings)) as broker,
        served("whole", environ=settings, here=asked.here) as process,
    ):
        await throughput(broker, process, sink, webhooks.webhooks(shape, warm, of))
        ends = webhooks.webhooks(shape, many, of, warm)
        without = await throughput(broker, process, sink, ends)
        memory = [process.memory()]
        answers = await hammer(process.port, iter(posts))
        if answers.good != many:
            raise RuntimeError(f"{answers.bad} of {many} messages were refused")
        memory.append(process.memory())
        ends = webhooks.webhooks(shape, many, of, warm + many)
        waited = await throughput(broker, process, sink, ends)
        memory.append(process.memory())
    return list(without), list(waited), memory


async def main(asked: Options) -> None:
    """Measure and report."""
    shape = await webhooks.template(9 * 1024)
    sink, listening = await open_sink()
    issuer = await tokens.publish(sink)
    costs = Table(("way", "runs", "events/s", "CPU µs each", "of one without, by CPU"))
    held = Table(("way", *(f"MB {when}" for when in _MB)))
    with harness.postgres(asked) as server:
        for way in asked.databases:
            found = []
            for _ in range(asked.runs):
                with harness.fresh(way, server) as url:
                    found.append(await once(asked, url, sink, issuer, shape))
            without, waited, memory = (
                [median(values) for values in zip(*part, strict=True)]
                for part in zip(*found, strict=True)
            )
            for runs, (rate, cpu) in {"without": without, "with a message": waited}.items():
                costs.add(way, runs, f"{rate:,.0f}", f"{cpu:.0f}", f"{cpu / without[1]:.2f}")
            held.add(way, *(f"{megabytes:.0f}" for megabytes in memory))
    listening.close()
    harness.report(asked, "waiting", costs, held)


if __name__ == "__main__":
    asyncio.run(main(harness.options(__doc__)))
