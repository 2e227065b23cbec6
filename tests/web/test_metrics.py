"""`/metrics`: the cluster's figures, as Prometheus reads them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.web.front import Parts, front, post
from zekt_bot.domain.figures import Figures
from zekt_bot.errors import StorageUnavailable
from zekt_bot.testing import ManualClock
from zekt_bot.testing.clock import START
from zekt_bot.web.deps import Kept
from zekt_bot.web.metrics import exposition

NOTHING: dict[str, Any] = {"waiting": [], "no_gap_since": None, "looked_until": None}


def process(pid: int, figures: Figures, **changed: Any) -> dict[str, Any]:
    """A running process, as `status` finds it."""
    found = {
        "kind": "worker",
        "host": "there",
        "pid": pid,
        "age_seconds": 3.0,
        "alive": True,
        "clock_offset_seconds": None,
        "hears": None,
        "figures": figures.told(),
    }
    return found | changed


def samples(text: bytes) -> dict[tuple[str, frozenset[str]], float]:
    """Every sample, by its name and its labels' values."""
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_what_every_process_counted_is_told_by_each() -> None:
    one, two = Figures(), Figures()
    one.webhooks["202"] += 3
    two.attempts["dispatched"] += 5
    for seconds in (0.001, 0.02, 60.0):
        two.loop_lag_seconds.observe(seconds)
    queue = {
        "queue": "deliveries",
        "state": "pending",
        "waits_for": None,
        "rows": 4,
        "age_seconds": 9.0,
        "late_seconds": 2.0,
    }
    running = [
        process(1, one, kind="serve"),
        process(2, two, clock_offset_seconds=-0.5, hears=False),
        process(3, Figures(), alive=False),
    ]
    whole = {"no_gap_since": START, "looked_until": START + timedelta(hours=1)}
    found = samples(exposition({"processes": running, "waiting": [queue], **whole}))
    assert found["zekt_webhooks_total", frozenset({"there:1", "serve", "202"})] == 3
    assert found["zekt_attempts_total", frozenset({"there:2", "worker", "dispatched"})] == 5
    lag = {
        bound: found["zekt_loop_lag_seconds_bucket", frozenset({"there:2", "worker", bound})]
        for bound in ("0.005", "0.025", "10.0", "+Inf")
    }
    assert list(lag.values()) == [1, 2, 2, 3]
    assert found["zekt_loop_lag_seconds_sum", frozenset({"there:2", "worker"})] == 60.021
    assert found["zekt_heartbeat_age_seconds", frozenset({"there:1", "serve"})] == 3
    assert found["zekt_clock_offset_seconds", frozenset({"there:2", "worker"})] == -0.5
    assert found["zekt_hears", frozenset({"there:2", "worker"})] == 0
    assert found["zekt_waiting_rows", frozenset({"deliveries", "pending", ""})] == 4
    assert found["zekt_waiting_oldest_seconds", frozenset({"deliveries", "pending", ""})] == 9
    assert found["zekt_waiting_late_seconds", frozenset({"deliveries", "pending", ""})] == 2
    assert found["zekt_no_gap_since_timestamp_seconds", frozenset()] == START.timestamp()
    assert found["zekt_looked_until_timestamp_seconds", frozenset()] == START.timestamp() + 3600
    assert ("zekt_clock_offset_seconds", frozenset({"there:1", "serve"})) not in found


def test_counters_of_a_process_that_died_are_told_no_more() -> None:
    dead = Figures()
    dead.webhooks["202"] += 3
    running = [process(1, dead, alive=False, age_seconds=99.0)]
    found = samples(exposition({"processes": running, **NOTHING}))
    assert found["zekt_heartbeat_age_seconds", frozenset({"there:1", "worker"})] == 99
    assert not [name for name, _ in found if name.startswith("zekt_webhook")]


def test_of_two_processes_with_one_name_the_newer_is_told() -> None:
    dead, new = Figures(), Figures()
    dead.webhooks["202"], new.webhooks["202"] = 3, 5
    started = [process(1, dead, alive=True, age_seconds=29.0), process(1, new)]
    text = exposition({"processes": started, **NOTHING})
    told = [line for line in text.decode().splitlines() if not line.startswith("#")]
    assert len(told) == len({line.rpartition(" ")[0] for line in told})
    found = samples(text)
    assert found["zekt_heartbeat_age_seconds", frozenset({"there:1", "worker"})] == 3
    assert found["zekt_webhooks_total", frozenset({"there:1", "worker", "202"})] == 5


async def test_what_is_answered_to_webhooks_is_counted_and_timed() -> None:
    parts, figures = Parts(), Figures()
    async with front(parts, figures=figures) as (_, session):
        assert (await post(session))[0] == 202
        assert (await post(session, X_Hub_Signature_256="sha256=" + "0" * 64))[0] == 401
        parts.error = StorageUnavailable()
        assert (await post(session))[0] == 503
    assert figures.webhooks == {"202": 1, "401": 1, "503": 1}
    assert sum(figures.webhook_seconds.counts) == 3


async def test_it_is_text_and_says_when_the_database_is_away() -> None:
    parts = Parts()
    async with front(parts) as (_, session):
        parts.error = StorageUnavailable()
        async with session.get("/metrics") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        parts.error = None
        async with session.get("/metrics") as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain; version=")


async def test_what_was_read_is_kept_for_five_seconds() -> None:
    read, clock = list[int](), ManualClock()

    async def reading() -> dict[str, Any]:
        read.append(1)
        return {"reads": len(read)}

    kept = Kept(reading, clock)
    assert [await kept.get() for _ in range(3)] == [{"reads": 1}] * 3
    clock.advance(timedelta(seconds=4.9))
    assert await kept.get() == {"reads": 1}
    clock.advance(timedelta(seconds=0.1))
    assert await kept.get() == {"reads": 2}
