"""Messages stored a second, beside a bare handler that checks RS256, parses and stores nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks import harness, sending, tokens, world
from benchmarks.harness import Options, Table, served
from benchmarks.ingest import WARM, Measured
from benchmarks.served import PUBLIC_KEY
from benchmarks.traffic import open_sink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.tokens import Issuer
    from benchmarks.traffic import Sink

SIZES = (1, 10)
_OF = world.World(services=50, subscribers=1)


async def measure(
    asked: Options, requests: Sequence[bytes], server: str | None, sink: Sink, issuer: Issuer
) -> dict[str, Measured]:
    """The bare handler and Zekt on each database, by turns; the sink is Zekt's GitHub."""
    found = {way: Measured() for way in ("bare", *asked.databases)}
    for _ in range(asked.runs):
        for way, measured in found.items():
            if way == "bare":
                key = {PUBLIC_KEY: tokens.public_key()}
                async with served("bare", environ=key, here=asked.here) as process:
                    await measured.once(process, requests)
                continue
            with harness.fresh(way, server) as url:
                settings = world.taking_messages(url, sink.port, issuer)
                await _OF.prepare(settings)
                async with served("web", environ=settings, here=asked.here) as process:
                    await measured.once(process, requests)
    return found


async def main(asked: Options) -> None:
    """Measure and report."""
    table = Table(
        ("message", "way", "stored/s", "of bare", "CPU µs each", "of bare, by CPU", "p99 ms")
    )
    sink, listening = await open_sink()
    issuer = await tokens.publish(sink)
    count = asked.size(6_000, 2_000, 20) + WARM
    told = []
    with harness.postgres(asked) as server:
        for size in SIZES[: asked.size(2, 2, 1)]:
            body = sending.payload(size * 1024)
            requests = list(sending.messages(issuer, body, count, _OF.repositories))
            found = await measure(asked, requests, server, sink, issuer)
            for way, got in found.items():
                table.add(f"{size} KB", way, *got.beside(found["bare"]))
        for way in asked.profiled:
            with harness.fresh(way, server) as url, harness.profiled() as profile:
                settings = world.taking_messages(url, sink.port, issuer, **profile)
                await _OF.prepare(settings)
                async with served("web", environ=settings) as process:
                    await Measured().once(process, requests)
                told.append(harness.where(profile, f"the web process on {way}, 10 KB"))
    listening.close()
    harness.report(asked, "messages", table, *told)


if __name__ == "__main__":
    asyncio.run(main(harness.options(__doc__)))
