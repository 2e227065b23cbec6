"""`/metrics`: the whole cluster's figures for Prometheus, whichever process is asked.

Behind a load balancer each scrape meets another process, and a platform may give a worker no port.
So every process writes its counters with its heartbeat, and each of them tells all.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from zekt_bot.web.status import figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

_WHO = ("process", "kind")
_WHAT = ("queue", "state", "waits_for")
_COUNTERS = {
    "webhooks": ("zekt_webhooks", "Webhooks, by the status that was answered.", "status"),
    "api": ("zekt_api_calls", "Calls of the API, by the status that was answered.", "status"),
    "attempts": ("zekt_attempts", "Tries to send a delivery, by outcome.", "outcome"),
}
_HISTOGRAMS = {
    "webhook_seconds": ("zekt_webhook_seconds", "Seconds from a webhook's head to its answer."),
    "api_seconds": ("zekt_api_seconds", "Seconds from an API call's head to its answer."),
    "limit_left": ("zekt_github_limit_left", "Requests left to an installation, at each answer."),
    "loop_lag_seconds": ("zekt_loop_lag_seconds", "Seconds that the event loop came late."),
}


async def metrics(request: web.Request) -> web.Response:
    """The figures, at most five seconds old."""
    found = await figures(request)
    if isinstance(found, web.Response):
        return found
    text = exposition(found)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def exposition(found: Mapping[str, Any]) -> bytes:
    """What `operations.status.status` found, as Prometheus reads it."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Found(found))
    return generate_latest(registry)


class _Found(Collector):
    """Figures that were counted elsewhere, told once."""

    def __init__(self, figures: Mapping[str, Any]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        # In a container the next one has the name of the one that died: the newest counts.
        newest = list({_who(each): each for each in self._figures["processes"]}.values())
        yield from _lives(newest)
        running = [each for each in newest if each["alive"]]
        for name, told in _COUNTERS.items():
            yield _counter(running, name, told)
        for name, about in _HISTOGRAMS.items():
            yield _histogram(running, name, about)
        yield from _queues(self._figures["waiting"])
        yield from _whole(self._figures["no_gap_since"], self._figures["looked_until"])


def _who(process: Mapping[str, Any]) -> tuple[str, str]:
    return f"{process['host']}:{process['pid']}", process["kind"]


def _lives(running: list[Mapping[str, Any]]) -> Iterator[Metric]:
    age = GaugeMetricFamily("zekt_heartbeat_age_seconds", "Since the last heartbeat.", labels=_WHO)
    offset = GaugeMetricFamily(
        "zekt_clock_offset_seconds", "By how much PostgreSQL's clock is ahead.", labels=_WHO
    )
    hears = GaugeMetricFamily(
        "zekt_hears", "Whether it hears at once of others' commits (PostgreSQL).", labels=_WHO
    )
    for process in running:
        age.add_metric(_who(process), process["age_seconds"])
        if process["clock_offset_seconds"] is not None:
            offset.add_metric(_who(process), process["clock_offset_seconds"])
        if process["hears"] is not None:
            hears.add_metric(_who(process), float(process["hears"]))
    return iter((age, offset, hears))


def _counter(
    running: list[Mapping[str, Any]], name: str, told: tuple[str, str, str]
) -> CounterMetricFamily:
    title, about, label = told
    metric = CounterMetricFamily(title, about, labels=(*_WHO, label))
    for process in running:
        for word, count in process["figures"]["counters"].get(name, {}).items():
            metric.add_metric((*_who(process), word), count)
    return metric


def _histogram(
    running: list[Mapping[str, Any]], name: str, about: tuple[str, str]
) -> HistogramMetricFamily:
    metric = HistogramMetricFamily(*about, labels=_WHO)
    for process in running:
        told = process["figures"]["histograms"].get(name)
        if told:
            metric.add_metric(_who(process), _buckets(told), told["sum"])
    return metric


def _buckets(told: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Prometheus counts what is at most a bound, so each bucket holds those before it."""
    bounds = [*(str(float(bound)) for bound in told["bounds"]), "+Inf"]
    so_far, buckets = 0, []
    for bound, count in zip(bounds, told["counts"], strict=True):
        so_far += count
        buckets.append((bound, float(so_far)))
    return buckets


def _queues(waiting: list[Mapping[str, Any]]) -> Iterator[Metric]:
    rows = GaugeMetricFamily("zekt_waiting_rows", "Rows that are not done.", labels=_WHAT)
    age = GaugeMetricFamily(
        "zekt_waiting_oldest_seconds", "Since the oldest of them came.", labels=_WHAT
    )
    late = GaugeMetricFamily(
        "zekt_waiting_late_seconds", "For how long the first of them has been due.", labels=_WHAT
    )
    for row in waiting:
        what = tuple(row[name] or "" for name in _WHAT)
        rows.add_metric(what, row["rows"])
        age.add_metric(what, row["age_seconds"])
        late.add_metric(what, row["late_seconds"])
    return iter((rows, age, late))


def _whole(since: datetime | None, until: datetime | None) -> Iterator[Metric]:
    for name, about, moment in (
        ("no_gap_since", "Since when no event is missing, as far as anybody looked.", since),
        ("looked_until", "Until when it was looked for events that are missing.", until),
    ):
        if moment:
            metric = GaugeMetricFamily(f"zekt_{name}_timestamp_seconds", about)
            metric.add_metric((), moment.timestamp())
            yield metric
