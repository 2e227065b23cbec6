"""Values that tests need whole, though they look at a part."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from zekt_bot.domain.events import RunFacts

_NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
_RAN = RunFacts(
    workflow_path=".github/workflows/release.yml",
    workflow_name="Release",
    run_number=1,
    event="push",
    status="completed",
    conclusion="success",
    head_branch="main",
    head_sha="0" * 40,
    head_repository_id=1,
    html_url="https://github.com/octo/r1/actions/runs/10",
    actor="mona",
    display_title="Release",
    created_at=_NOW,
    started_at=_NOW,
    completed_at=_NOW,
)


def ran(**changes: Any) -> RunFacts:
    """A push to main of repository 1 that succeeded, but for `changes`."""
    return replace(_RAN, **changes)
