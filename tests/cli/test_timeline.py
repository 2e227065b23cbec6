"""A delivery's timeline: what stands after what, though GitHub tells whole seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from zekt_bot.cli.timeline import timeline

ENDED = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)  # in truth at 12:00:00.5


def after(seconds: float) -> datetime:
    return ENDED + timedelta(seconds=seconds)


def entry(seconds: float, verb: str) -> dict[str, Any]:
    return {"at": after(seconds), "verb": verb, "actor": "zekt", "details": {}}


def told(**changed: Any) -> list[list[str]]:
    """The lines: offset and title."""
    sent = {"n": 1, "at": after(0.8), "status": 204, "error": None, "duration_us": 1000}
    run = {
        "bound_by": "title",
        "run_number": 1,
        "run_attempt": 1,
        "html_url": None,
        "started_at": after(0),
        "completed_at": after(0),
        "received_at": after(0.95),
        "conclusion": "success",
    }
    row = {
        "event_at": ENDED,
        "created_at": after(0.7),
        "source": "acme/widget",
        "workflow_name": "Release",
        "run_number": 7,
        "conclusion": "success",
        "attempts": [sent | {"length": 1, "request_id": None}],
        "history": [
            entry(0.2, "run:message:stored"),
            entry(0.7, "zekt:delivery:created"),
            entry(0.9, "zekt:delivery:confirmed"),
        ],
        "runs": [run | changed],
    }
    out = Console(width=200)
    with out.capture() as captured:
        out.print(timeline(row))
    return [line.split("  ")[:2] for line in map(str.strip, captured.get().splitlines())]


def test_what_github_tells_to_the_second_stands_after_what_led_to_it() -> None:
    assert told() == [
        ["+0.200 s", "message stored"],
        ["+0 s", "event"],
        ["+0.700 s", "delivery created"],
        ["+0.800 s", "attempt 1"],
        ["+0 s", "run #1.1"],
        ["+0 s", "run #1.1"],
        ["+0.900 s", "delivery confirmed"],
    ]


@pytest.mark.parametrize(
    ("started", "said"), [(after(2), ["+2 s", "run #1.1"]), (None, ["+0.950 s", "run #1.1"])]
)
def test_what_is_later_stands_later(started: datetime | None, said: list[str]) -> None:
    assert told(started_at=started, completed_at=None)[-1] == said
