"""Runs of which GitHub told nothing, and passes that look for them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from zekt_bot.db.tables import coverage
from zekt_bot.pipeline.missed_runs import MissedRuns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.stage import Stage
    from zekt_bot.testing import WorkflowRun

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


async def unheard(stage: Stage, *jobs: str, **options: Any) -> WorkflowRun:
    """A run of which GitHub sends nothing."""
    with stage.github.outage():
        return await stage.finish_run(*jobs, **options)


async def recover(stage: Stage, missed: MissedRuns | None = None) -> int:
    """A pass, an hour later."""
    stage.clock.advance(HOUR)
    return await (missed or MissedRuns(stage.broker)).recover()


async def covered(stage: Stage) -> Mapping[str, Any]:
    """How far nothing is missing."""
    return await stage.row(coverage)


def asked(stage: Stage, ending: str = "/actions/runs") -> list[int | None]:
    """What GitHub answered to such requests."""
    return [each.status for each in stage.github.requests if each.path.endswith(ending)]
