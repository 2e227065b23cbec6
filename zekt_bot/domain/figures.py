"""What a process counts and times of its own work, since its start."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
REQUESTS = (0.0, 10.0, 100.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0)


class Histogram:
    """How often a value was at most each bound, as Prometheus counts."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """Nothing yet. `bounds` ascend; what is above the last counts too."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Figures:
    """Plain numbers, so that counting costs nothing where the work is done.

    `webhooks` and `api`: by what was answered; `attempts`: by outcome; `limit_left`: requests that
    GitHub still allowed an installation, at each of its answers; `missed`: of the webhooks found
    missing how many are dealt with, and how many they are.
    """

    webhooks: Counter[str] = field(default_factory=Counter)
    api: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    webhook_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    api_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))
    limit_left: Histogram = field(default_factory=lambda: Histogram(REQUESTS))
    loop_lag_seconds: Histogram = field(default_factory=lambda: Histogram(SECONDS))

    missed: tuple[int, int] = 0, 0

    def told(self) -> dict[str, Any]:
        """As JSON has it: counters by word; histograms as bounds, counts and their values' sum."""
        histograms = {
            "webhook_seconds": self.webhook_seconds,
            "api_seconds": self.api_seconds,
            "limit_left": self.limit_left,
            "loop_lag_seconds": self.loop_lag_seconds,
        }
        return {
            "counters": {
                "webhooks": dict(self.webhooks),
                "api": dict(self.api),
                "attempts": dict(self.attempts),
            },
            "missed": self.missed,
            "histograms": {
                name: {"bounds": one.bounds, "counts": one.counts, "sum": one.total}
                for name, one in histograms.items()
            },
        }
