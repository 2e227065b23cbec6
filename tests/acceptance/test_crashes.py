"""Killed at random moments under load: what was acknowledged is sent, and twice only by need."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.acceptance.server import RELEASE, Stage, Zekt, stage
from tests.chance import seeded
from tests.conftest import PROFILE
from tests.figures import FIGURES

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path

ROUNDS = 50 if PROFILE == "long" else 1
_RUNS = 8
_SETTINGS = {"ZEKT_LANE_PER_MINUTE": "0", "ZEKT_LEASE": "5"}
_SENT = {"dispatched", "confirmed", "completed"}


class Crashes:
    """Rounds of load with a kill in each, and what the kills may have cost."""

    def __init__(self, s: Stage, chance: random.Random) -> None:
        self._s, self._chance = s, chance
        self._lost: dict[str, int] = {}  # how often GitHub took a delivery that nobody recorded
        # GitHub acts at once and says so late: some kills fall between the two.
        s.github.fail("POST", "/repos/*/dispatches", when="after", delay=0.05, times=10**9)

    async def round(self, *victims: Zekt, sending: bool) -> None:
        """Kill the victims at some moment of some load, and start them again.

        `sending`: a moment after something was sent, else one at which events still come in.
        """
        load = [asyncio.create_task(self._run_through()) for _ in range(_RUNS)]
        if sending:
            await self._s.github.wait_for_dispatches(sum(self._sent().values()) + 1)
        least = 0 if sending else 0.3
        await asyncio.sleep(least + self._chance.uniform(0, 0.5))  # the moment is the test's chance
        await asyncio.gather(*(victim.end(signal.SIGKILL) for victim in victims))
        if any(victim.sends for victim in victims):
            await self._look()
        await asyncio.gather(*load)
        for victim in victims:
            await victim.start()

    async def _run_through(self) -> None:
        """A run from its start to its end, whether or not anybody listens."""
        await asyncio.sleep(self._chance.uniform(0, 0.6))
        run = await self._s.github.start_run(self._s.provider, RELEASE)
        job = await run.start_job("build")
        await job.complete()
        await run.complete()

    async def _look(self) -> None:
        """While nobody sends: only what GitHub took and nobody recorded may be sent again."""
        for _ in range(20):  # GitHub has read by then what the dead one wrote
            await asyncio.sleep(0.01)
        sent = self._sent()
        for row in await self._s.zekt.deliveries():
            if row["state"] not in _SENT and sent[row["id"]]:
                self._lost[row["id"]] = sent[row["id"]]

    def _sent(self) -> Counter[str]:
        taken = self._s.github.dispatches
        return Counter(one.client_payload["zekt"]["deliveryId"] for one in taken)

    def _acknowledged(self) -> set[int]:
        """The finished runs of which GitHub heard 202."""
        log = self._s.github.deliveries
        heard = [one for one in log if one.ok and one.action == "completed"]
        return {
            one.payload["workflow_run"]["id"]
            for one in heard
            if one.event == "workflow_run" and one.repository_id == self._s.provider.id
        }

    async def outcome(self) -> str:
        """Wait until all is sent, and compare with the kills; the figures in words."""
        acknowledged = self._acknowledged()

        def over(rows: list[dict[str, Any]]) -> bool:
            return len(rows) >= len(acknowledged) and {row["state"] for row in rows} <= _SENT

        rows = await self._s.zekt.until_deliveries(over)
        told = [one.client_payload["zekt"] for one in self._s.github.dispatches]
        assert acknowledged <= {zekt["workflow"]["runId"] for zekt in told}, "an event is lost"
        sent = self._sent()
        assert set(sent) == {row["id"] for row in rows}
        twice = {name: times - 1 for name, times in sent.items() if times > 1}
        assert all(times <= self._lost.get(name, 0) for name, times in twice.items()), (
            "sent twice though it was not in flight at a kill"
        )
        again, in_flight = sum(twice.values()), sum(self._lost.values())
        seen = f"{len(acknowledged)} events acknowledged, none lost"
        return f"{seen}; {in_flight} POSTs in flight at a kill, {again} sent twice"


async def test_the_one_process_on_sqlite(
    sqlite_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with seeded() as chance:
        async with stage(sqlite_url, tmp_path, **_SETTINGS) as s:
            crashes = Crashes(s, chance)
            for number in range(ROUNDS):
                await crashes.round(s.zekt, sending=number % 2 == 0)
            record_property(FIGURES, f"{ROUNDS} kills: {await crashes.outcome()}")


async def test_web_worker_or_both_on_postgresql(
    postgres_url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with seeded() as chance:
        async with stage(postgres_url, tmp_path, "--no-worker", **_SETTINGS) as s:
            worker = replace(s.zekt, log=tmp_path / "worker", words=("worker",), process=None)
            await worker.start()
            try:
                crashes, victims = Crashes(s, chance), [(s.zekt, worker), (worker,), (s.zekt,)]
                for number in range(ROUNDS):
                    await crashes.round(*victims[number % 3], sending=number % 2 == 0)
                record_property(FIGURES, f"{ROUNDS} kills: {await crashes.outcome()}")
            finally:
                await worker.end()
