"""Prometheus itself, asked whether the alerts fire on what `/metrics` says."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.docs.pages import DOCS
from tests.programs import needs
from zekt_bot.domain.figures import Figures
from zekt_bot.testing.clock import START
from zekt_bot.web.metrics import exposition

if TYPE_CHECKING:
    from pathlib import Path

ALERTS = "ZektNobodyWorks", "ZektLate", "ZektRefusesWebhooks"
MINUTES = 30


def series(*, heartbeat: float = 5, late: float = 0, refused: int = 0) -> list[dict[str, str]]:
    """Half an hour of scrapes that all say this, but for counters, which start at nothing."""
    figures = Figures()
    figures.webhooks["202"], figures.webhooks["503"] = 1, refused
    process = {
        "host": "there",
        "pid": 1,
        "kind": "serve",
        "alive": True,
        "age_seconds": heartbeat,
        "clock_offset_seconds": None,
        "hears": None,
        "figures": figures.told(),
    }
    queue = {
        "queue": "deliveries",
        "state": "pending",
        "waits_for": None,
        "rows": 1,
        "age_seconds": late,
        "late_seconds": late,
    }
    whole = {"no_gap_since": START, "looked_until": START}
    found = {"processes": [process], "waiting": [queue], **whole}
    lines = [line.rpartition(" ") for line in exposition(found).decode().splitlines()]
    return [
        {"series": name, "values": _values(name, float(value))}
        for name, _, value in lines
        if not name.startswith("#")
    ]


def _values(name: str, value: float) -> str:
    counter = name.partition("{")[0].endswith("_total")
    step = 60 * value if counter else 0
    return f"{0 if counter else value}+{step}x{MINUTES}"


@needs("promtool")
@pytest.mark.parametrize(
    ("scraped", "firing"),
    [
        (series(), None),
        (series(late=299), None),
        ([], "ZektNobodyWorks"),
        (series(heartbeat=61), "ZektNobodyWorks"),
        (series(late=301), "ZektLate"),
        (series(refused=1), "ZektRefusesWebhooks"),
    ],
    ids=["well", "a little late", "not scraped", "no heartbeat", "late", "503"],
)
def test_it_fires_on_what_it_is_about_and_on_nothing_else(
    tmp_path: Path, scraped: list[dict[str, str]], firing: str | None
) -> None:
    queries = [
        {
            "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
            "eval_time": f"{MINUTES}m",
            "exp_samples": [{"labels": "{}", "value": int(alert == firing)}],
        }
        for alert in ALERTS
    ]
    test: dict[str, Any] = {
        "interval": "1m",
        "input_series": scraped,
        "promql_expr_test": queries,
    }
    asked = tmp_path / "test.yml"
    rules = str(DOCS / "operations" / "alerts.yml")
    asked.write_text(yaml.safe_dump({"rule_files": [rules], "tests": [test]}), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", str(asked)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
