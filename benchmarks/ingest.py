"""Durable 202s a second, beside a bare handler that checks the HMAC, parses and stores nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks import harness, webhooks, world
from benchmarks.harness import Options, Table, median, percentile, served
from benchmarks.traffic import hammer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.harness import Served

SIZES = (9, 17)
WARM = 200  # requests before those that count
_OF = world.World(services=50, subscribers=1)
_NORMAL = "sqlite, NORMAL"


@dataclass
class Measured:
    """The runs of one way of taking webhooks."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    slow: list[float] = field(default_factory=list)

    async def once(self, process: Served, requests: Sequence[bytes]) -> None:
        """Send them all; adds webhooks a second, CPU microseconds a webhook, p99 in ms."""
        await hammer(process.port, iter(requests[:WARM]))
        rest = requests[WARM:]
        used, began = process.cpu(), asyncio.get_running_loop().time()
        answers = await hammer(process.port, iter(rest))
        took = asyncio.get_running_loop().time() - began
        if answers.bad or answers.good != len(rest):
            raise RuntimeError(f"{answers.bad} refused, {answers.good} of {len(rest)} taken")
        self.rates.append(len(rest) / took)
        self.costs.append((process.cpu() - used) / len(rest) * 1e6)
        self.slow.append(percentile(answers.seconds, 0.99) * 1000)

    def beside(self, bare: Measured) -> tuple[str, ...]:
        """Its rate, cost and slowest per cent as cells, the first two beside the bare handler's."""
        return (
            f"{median(self.rates):,.0f}",
            f"{median(self.rates) / median(bare.rates):.2f}",
            f"{median(self.costs):.0f}",
            f"{median(bare.costs) / median(self.costs):.2f}",
            f"{median(self.slow):.0f}",
        )


async def measure(asked: Options, size: int, server: str | None, table: Table) -> None:
    """All ways of taking webhooks of this size, one after the other, so often."""
    count = asked.size(8_000, 3_000, 100)
    shape = await webhooks.template(size * 1024)
    ways = ["bare", *asked.databases]
    if "sqlite" in asked.databases:
        ways.append(_NORMAL)
    found = {way: Measured() for way in ways}
    for _ in range(asked.runs):
        for way in ways:
            requests = webhooks.webhooks(shape, count + WARM, _OF.repositories)
            if way == "bare":
                async with served("bare", here=asked.here) as process:
                    await found[way].once(process, requests)
                continue
            kind, mode = ("sqlite", "relaxed") if way == _NORMAL else (way, "web")
            with harness.fresh(kind, server) as url:
                environ = world.environ(url)
                await _OF.prepare(environ)
                async with served(mode, environ=environ, here=asked.here) as process:
                    await found[way].once(process, requests)
    for way, got in found.items():
        table.add(f"{size} KB", way, *got.beside(found["bare"]))


async def main(asked: Options) -> None:
    """Measure and report."""
    table = Table(
        ("body", "way", "202/s", "of bare", "CPU µs each", "of bare, by CPU", "p99 ms"),
    )
    with harness.postgres(asked) as server:
        for size in SIZES[: asked.size(2, 2, 1)]:
            await measure(asked, size, server, table)
        told = []
        for way in asked.profiled:
            with harness.fresh(way, server) as url, harness.profiled() as profile:
                environ = world.environ(url) | profile
                await _OF.prepare(environ)
                shape = await webhooks.template(9 * 1024)
                requests = webhooks.webhooks(shape, 3_000, _OF.repositories)
                async with served("web", environ=environ) as process:
                    await Measured().once(process, requests)
                told.append(harness.where(profile, f"the web process on {way}, 9 KB"))
    harness.report(asked, "ingest", table, *told)


if __name__ == "__main__":
    asyncio.run(main(harness.options(__doc__)))
