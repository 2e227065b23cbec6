"""What operators are told about the metrics is what `/metrics` has."""

from __future__ import annotations

import json
import re

import yaml

from tests.docs.pages import DOCS, page, section, table
from zekt_bot.domain.figures import Figures
from zekt_bot.testing.clock import START
from zekt_bot.web.metrics import exposition

FILES = ("operations/alerts.yml", "operations/grafana.json")


def told() -> set[str]:
    """The metrics that `/metrics` has, by the names that queries use."""
    process = {
        "host": "there",
        "pid": 1,
        "kind": "serve",
        "alive": True,
        "age_seconds": 0.0,
        "clock_offset_seconds": 0.0,
        "hears": True,
        "figures": Figures().told(),
    }
    whole = {"no_gap_since": START, "looked_until": START}
    text = exposition({"processes": [process], "waiting": [], **whole}).decode()
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def test_every_metric_is_documented_and_no_other() -> None:
    text = section(page("operations.md"), "Metrics")
    named = {row[0] for row in table(text) if row[0].startswith("zekt_")}
    assert named == told()


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    for name in FILES:
        text = (DOCS / name).read_text(encoding="utf-8")
        asked = {re.sub(r"_bucket$", "", word) for word in re.findall(r"\bzekt_\w+", text)}
        assert asked
        assert asked <= told(), name


def test_the_alerts_are_those_of_the_page() -> None:
    rules = yaml.safe_load((DOCS / FILES[0]).read_text(encoding="utf-8"))["groups"][0]["rules"]
    shown = table(section(page("operations.md"), "The three alerts that matter"))
    assert [row[0] for row in shown] == [rule["alert"] for rule in rules]


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads((DOCS / FILES[1]).read_text(encoding="utf-8"))
    assert dashboard["title"] == "Zekt"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
