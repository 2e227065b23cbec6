# SPDX-License-Identifier: 0BSD
"""Tells the log which step of a provider's job failed, and in which run."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from zekt_bot import hookimpl

if TYPE_CHECKING:
    from zekt_bot import GitHubEvent, ReadApi

FAILED = {"failure", "timed_out"}
_log = logging.getLogger(__name__)


@hookimpl
def zekt_github_events() -> list[str]:
    """Only jobs are of interest."""
    return ["workflow_job"]


@hookimpl
async def zekt_github_event(event: GitHubEvent, client: ReadApi | None) -> None:
    """Log one line about a job that ended badly."""
    job = event.payload["workflow_job"]
    if event.action != "completed" or job["conclusion"] not in FAILED or client is None:
        return
    step = next((s["name"] for s in job["steps"] if s["conclusion"] in FAILED), "no step")
    run = await _run(client, event.repository_id, job["run_id"])
    _log.warning(
        "%s: %s failed at “%s” (%s #%s, attempt %s): %s",
        event.payload["repository"]["full_name"],
        job["name"],
        step,
        run.get("name", "a run"),
        run.get("run_number", "?"),
        job["run_attempt"],
        job["html_url"],
    )


async def _run(client: ReadApi, repository_id: int | None, run_id: int) -> dict[str, Any]:
    """The job's run; nothing, if GitHub does not show it."""
    answer = await client.get(f"/repositories/{repository_id}/actions/runs/{run_id}")
    found: dict[str, Any] = json.loads(answer.body) if answer.status == 200 else {}
    return found
