"""A message as large as one may be, from its run to its consumer: how long, and where that goes."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING

import orjson

from benchmarks import harness, rows, sending, tokens, webhooks, world
from benchmarks.harness import Options, Served, Table, median, served
from benchmarks.traffic import Sink, ask, open_sink
from zekt_bot.domain.messages import MOST_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.tokens import Issuer

_OF = world.World(services=1, subscribers=1)
_WARM = 2  # messages before those that count


async def one(
    process: Served, sink: Sink, issuer: Issuer, run: tuple[bytes, bytes], message: bytes
) -> tuple[float, float, float, float]:
    """A run's message and its end; answers ms to store it, to dispatch, to fetch, and CPU ms."""
    posted, ended = run
    bodies: list[bytes] = []
    sink.heard = bodies.append
    sink.expect(1)
    used = process.cpu()
    stored, _ = await ask(process.port, posted)
    began = time.perf_counter()
    await ask(process.port, ended)
    await asyncio.wait_for(sink.reached.wait(), 600)
    sent = sink.last_at - began
    reference = orjson.loads(bodies[0])["client_payload"]["zekt"]["payloadRef"]
    path = "/" + reference["url"].split("/", 3)[3]
    token = issuer.token(rows.CONSUMER, rows.consumer_name(0), 1)
    fetched, body = await ask(process.port, sending.fetch(path, token))
    if hashlib.sha256(body).hexdigest() != reference["sha256"] or body != message:
        raise RuntimeError("what was fetched is not what was sent")
    return stored * 1000, sent * 1000, fetched * 1000, (process.cpu() - used) * 1000


async def once(
    asked: Options, url: str, sink: Sink, issuer: Issuer, shape: bytes
) -> list[tuple[float, float, float, float]]:
    """So many, one after the other."""
    settings = world.taking_messages(url, sink.port, issuer, ZEKT_LANE_PER_MINUTE="0")
    await _OF.prepare(settings)
    message = sending.payload(MOST_BYTES)
    count = _WARM + asked.size(20, 10, 1)
    posts = sending.messages(issuer, message, count, _OF.repositories)
    ends = webhooks.webhooks(shape, count, _OF.repositories)
    async with served("whole", environ=settings, here=asked.here) as process:
        runs = list(zip(posts, ends, strict=True))
        return [await one(process, sink, issuer, run, message) for run in runs][_WARM:]


def tell(table: Table, way: str, found: Sequence[tuple[float, float, float, float]]) -> None:
    """The middle of each part."""
    parts = [median(values) for values in zip(*found, strict=True)]
    whole = median([sum(each[:3]) for each in found])
    table.add(way, *(f"{part:.0f}" for part in parts[:3]), f"{whole / 1000:.2f}", f"{parts[3]:.0f}")


async def main(asked: Options) -> None:
    """Measure and report."""
    shape = await webhooks.template(9 * 1024)
    sink, listening = await open_sink()
    issuer = await tokens.publish(sink)
    table = Table(
        ("way", "stored, ms", "run's end to POST, ms", "fetched, ms", "together, s", "CPU ms each")
    )
    with harness.postgres(asked) as server:
        for way in asked.databases:
            found = []
            for _ in range(asked.runs):
                with harness.fresh(way, server) as url:
                    found += await once(asked, url, sink, issuer, shape)
            tell(table, way, found)
    listening.close()
    harness.report(asked, "large", table)


if __name__ == "__main__":
    asyncio.run(main(harness.options(__doc__)))
