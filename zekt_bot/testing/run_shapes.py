"""GitHub's JSON for workflows, runs and jobs.

Source: https://docs.github.com/rest/actions/workflow-runs#get-a-workflow-run
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from zekt_bot.testing import shapes
from zekt_bot.testing.model import node_id, sha1
from zekt_bot.testing.runs import step_times
from zekt_bot.testing.shapes import GITHUB_COM, Json, Urls, iso

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.testing.model import Repository, Workflow
    from zekt_bot.testing.runs import Job, WorkflowRun


def _millis(moment: datetime | None) -> str | None:
    text = iso(moment)
    return text and text.replace("Z", ".000Z")


def workflow(found: Workflow, urls: Urls = GITHUB_COM) -> Json:
    """A workflow.

    Source: https://docs.github.com/rest/actions/workflows#get-a-workflow
    """
    repository = found.repository
    web = f"{urls.web}/{repository.full_name}"
    deleted = {"deleted_at": _millis(found.deleted_at)} if found.deleted_at else {}
    return {
        "id": found.id,
        "node_id": node_id("W", found.id),
        "name": found.name,
        "path": found.path,
        "state": found.state,
        "created_at": _millis(found.created_at),
        "updated_at": _millis(found.updated_at or found.created_at),
        "url": f"{urls.api}/repos/{repository.full_name}/actions/workflows/{found.id}",
        "html_url": f"{web}/blob/{repository.default_branch}/{found.path}",
        "badge_url": f"{web}/workflows/{quote(found.name)}/badge.svg",
        **deleted,
    }


def workflow_run(run: WorkflowRun, urls: Urls = GITHUB_COM) -> Json:
    """A run, the same by API and in webhooks."""
    repository = run.repository
    api = f"{urls.api}/repos/{repository.full_name}"
    own = f"{api}/actions/runs/{run.id}"
    workflow_url = f"{api}/actions/workflows/{run.workflow.id}"
    return {
        "id": run.id,
        "name": run.name,
        "node_id": node_id("WFR", run.id),
        "head_branch": run.head_branch,
        "head_sha": run.head_sha,
        "path": run.path,
        "display_title": run.display_title,
        "run_number": run.number,
        "event": run.event,
        "status": run.status,
        "conclusion": run.conclusion,
        "workflow_id": run.workflow.id,
        "check_suite_id": run.check_suite_id,
        "check_suite_node_id": node_id("CS", run.check_suite_id),
        "url": own,
        "html_url": f"{urls.web}/{repository.full_name}/actions/runs/{run.id}",
        "pull_requests": _pull_requests(run, urls),
        "created_at": iso(run.created_at),
        "updated_at": iso(run.updated_at),
        "actor": shapes.simple_user(run.actor, urls),
        "run_attempt": run.attempt,
        "referenced_workflows": [],
        "run_started_at": iso(run.run_started_at),
        "triggering_actor": shapes.simple_user(run.triggering_actor, urls),
        "jobs_url": f"{own}/jobs",
        "logs_url": f"{own}/logs",
        "check_suite_url": f"{api}/check-suites/{run.check_suite_id}",
        "artifacts_url": f"{own}/artifacts",
        "cancel_url": f"{own}/cancel",
        "rerun_url": f"{own}/rerun",
        "previous_attempt_url": f"{own}/attempts/{run.attempt - 1}" if run.attempt > 1 else None,
        "workflow_url": workflow_url,
        "head_commit": _head_commit(run),
        "repository": shapes.minimal_repository(repository, urls),
        "head_repository": (
            run.head_repository and shapes.minimal_repository(run.head_repository, urls)
        ),
    }


def _head_commit(run: WorkflowRun) -> Json:
    person = {
        "name": run.actor.name or run.actor.login,
        "email": f"{run.actor.id}+{run.actor.login}@users.noreply.github.com",
    }
    return {
        "id": run.head_sha,
        "tree_id": sha1("tree", run.head_sha),
        "message": run.commit_message,
        "timestamp": iso(run.created_at),
        "author": person,
        "committer": {"name": "GitHub", "email": "noreply@github.com"},
    }


def _pull_requests(run: WorkflowRun, urls: Urls) -> list[Json]:
    """Of the repository's own branches; for a fork's pull request GitHub lists none."""
    if run.event != "pull_request" or run.head_repository is not run.repository:
        return []
    api = f"{urls.api}/repos/{run.repository.full_name}"
    base = run.repository.default_branch
    return [
        {
            "url": f"{api}/pulls/{run.number}",
            "id": 1500000000 + run.number,
            "number": run.number,
            "head": _ref(run.head_branch, run.head_sha, run.repository, urls),
            "base": _ref(base, sha1(run.repository.id, base), run.repository, urls),
        }
    ]


def _ref(ref: str | None, sha: str, repository: Repository, urls: Urls) -> Json:
    return {
        "ref": ref,
        "sha": sha,
        "repo": {
            "id": repository.id,
            "url": f"{urls.api}/repos/{repository.full_name}",
            "name": repository.name,
        },
    }


def workflow_job(job: Job, urls: Urls = GITHUB_COM) -> Json:
    """A job, the same by API and in webhooks.

    Source: https://docs.github.com/rest/actions/workflow-jobs#get-a-job-for-a-workflow-run
    """
    run = job.run
    api = f"{urls.api}/repos/{run.repository.full_name}"
    page = f"{urls.web}/{run.repository.full_name}/actions/runs/{run.id}/job/{job.id}"
    waits = job.runner is None
    return {
        "id": job.id,
        "run_id": run.id,
        "workflow_name": run.workflow.name,
        "head_branch": run.head_branch,
        "run_url": f"{api}/actions/runs/{run.id}",
        "run_attempt": job.run_attempt,
        "node_id": node_id("CR", job.id),
        "head_sha": run.head_sha,
        "url": f"{api}/actions/jobs/{job.id}",
        "html_url": page,
        "status": job.status,
        "conclusion": job.conclusion,
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "completed_at": iso(job.completed_at),
        "name": job.name,
        "steps": _steps(job),
        "check_run_url": f"{api}/check-runs/{job.id}",
        "labels": list(job.labels),
        "runner_id": None if waits else 5,
        "runner_name": job.runner,
        "runner_group_id": None if waits else 2,
        "runner_group_name": None if waits else "GitHub Actions",
    }


def _steps(job: Job) -> list[Json]:
    if job.status == "queued":
        return []
    times = step_times(job)
    if job.status == "in_progress":
        name, begin, _ = times[0]
        return [_step(1, name, ("in_progress", None), (begin, None))]
    if job.conclusion == "skipped":
        return []
    failing = len(times) - 1 if job.conclusion not in {"success", "neutral"} else 0
    return [
        _step(
            number,
            name,
            ("completed", job.conclusion if number == failing else "success"),
            (begin, end),
        )
        for number, (name, begin, end) in enumerate(times, 1)
    ]


def _step(
    number: int,
    name: str,
    state: tuple[str, str | None],
    times: tuple[datetime, datetime | None],
) -> Json:
    return {
        "name": name,
        "status": state[0],
        "conclusion": state[1],
        "number": number,
        "started_at": iso(times[0]),
        "completed_at": iso(times[1]),
    }
