"""Workflows, runs and jobs.

Source: https://docs.github.com/rest/actions/workflow-runs
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from zekt_bot.testing import run_shapes
from zekt_bot.testing.answers import answer, invalid, not_found, not_permitted, page_of
from zekt_bot.testing.api_repositories import Finder, of_repository
from zekt_bot.testing.tokens import check_token, readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from zekt_bot.testing.answers import Route
    from zekt_bot.testing.core import Core
    from zekt_bot.testing.model import Repository
    from zekt_bot.testing.runs import WorkflowRun

DOCS = "actions/workflow-runs#list-workflow-runs-for-a-repository"
MOST = 1000
_RANGE = re.compile(r"(>=|<=|>|<|)([^.]*?)(?:\.\.(.*))?")


class ActionsApi:
    """The routes below a repository's `/actions`."""

    def __init__(self, core: Core) -> None:
        """Answer from this host's state."""
        self._core = core
        self._find = Finder(core)

    def routes(self) -> Iterator[Route]:
        """Method, path, handler."""
        run = "/actions/runs/{run}"
        yield from of_repository("GET", "/actions/permissions", self.permissions)
        yield from of_repository("GET", "/actions/workflows", self.workflows)
        yield from of_repository("GET", "/actions/workflows/{workflow}", self.workflow)
        yield from of_repository("GET", "/actions/workflows/{workflow}/runs", self.runs)
        yield from of_repository("GET", "/actions/runs", self.runs)
        yield from of_repository("GET", run, self.run)
        yield from of_repository("GET", f"{run}/jobs", self.jobs)
        yield from of_repository("GET", f"{run}/attempts/{{attempt}}", self.attempt)
        yield from of_repository("GET", f"{run}/attempts/{{attempt}}/jobs", self.jobs)
        yield from of_repository("GET", "/actions/jobs/{job}", self.job)

    def _repository(self, request: web.Request) -> Repository:
        token = self._find.viewer(request)
        found = self._find.repository(request, lambda one: readable(token, one), DOCS)
        if found.private and (token is None or not token.grants("actions", "read")):
            raise not_permitted("actions=read", DOCS)
        return found

    def _base(self, request: web.Request, repository: Repository) -> str:
        tail = request.path.partition("/actions/")[2]
        return f"{self._core.urls.api}/repositories/{repository.id}/actions/{tail}"

    async def permissions(self, request: web.Request) -> web.Response:
        """`GET …/actions/permissions`: for tokens with `administration` alone."""
        token = check_token(self._core.world, request.headers.get("Authorization"))
        docs = "actions/permissions#get-github-actions-permissions-for-a-repository"
        found = self._find.repository(request, lambda one: readable(token, one), docs)
        if not token.reaches(found) or not token.grants("administration", "read"):
            raise not_permitted("administration=read", docs)
        allowed = {"allowed_actions": "all"} if found.actions_enabled else {}
        return answer(200, {"enabled": found.actions_enabled, **allowed})

    async def workflows(self, request: web.Request) -> web.Response:
        """`GET …/actions/workflows`."""
        repository = self._repository(request)
        rows = repository.workflows
        page, headers = page_of(request, rows, self._base(request, repository))
        told = [run_shapes.workflow(one, self._core.urls) for one in page]
        return answer(200, {"total_count": len(rows), "workflows": told}, headers)

    async def workflow(self, request: web.Request) -> web.Response:
        """`GET …/actions/workflows/ID`, which may be the file's name."""
        wanted = request.match_info["workflow"]
        for one in self._repository(request).workflows:
            if wanted in {str(one.id), one.path.rpartition("/")[2]}:
                return answer(200, run_shapes.workflow(one, self._core.urls))
        raise not_found("actions/workflows#get-a-workflow")

    async def runs(self, request: web.Request) -> web.Response:
        """`GET …/actions/runs`: the newest first, filtered."""
        repository = self._repository(request)
        rows = [run for run in self._core.world.runs_of(repository) if _wanted(run, request)]
        page, headers = page_of(request, rows[:MOST], self._base(request, repository))
        told = [run_shapes.workflow_run(one, self._core.urls) for one in page]
        return answer(200, {"total_count": len(rows), "workflow_runs": told}, headers)

    def _run(self, request: web.Request) -> WorkflowRun:
        repository, wanted = self._repository(request), request.match_info["run"]
        for run in self._core.world.runs_of(repository):
            if str(run.id) == wanted:
                return run
        raise not_found("actions/workflow-runs#get-a-workflow-run")

    async def run(self, request: web.Request) -> web.Response:
        """`GET …/actions/runs/ID`."""
        return answer(200, run_shapes.workflow_run(self._run(request), self._core.urls))

    async def attempt(self, request: web.Request) -> web.Response:
        """`GET …/actions/runs/ID/attempts/N`."""
        run, wanted = self._run(request), request.match_info["attempt"]
        attempts = {**run.former_attempts, run.attempt: run}
        found = next((one for number, one in attempts.items() if str(number) == wanted), None)
        if found is None:
            raise not_found("actions/workflow-runs#get-a-workflow-run-attempt")
        return answer(200, run_shapes.workflow_run(found, self._core.urls))

    async def jobs(self, request: web.Request) -> web.Response:
        """`GET …/actions/runs/ID/jobs`: of the latest attempt, or with `filter=all` of all."""
        run = self._run(request)
        rows = run.latest_jobs
        if "attempt" in request.match_info:
            attempt = request.match_info["attempt"]
            rows = [job for job in run.jobs if str(job.run_attempt) == attempt]
        elif request.query.get("filter") == "all":
            rows = run.jobs
        page, headers = page_of(request, rows, self._base(request, run.repository))
        told = [run_shapes.workflow_job(one, self._core.urls) for one in page]
        return answer(200, {"total_count": len(rows), "jobs": told}, headers)

    async def job(self, request: web.Request) -> web.Response:
        """`GET …/actions/jobs/ID`."""
        repository, wanted = self._repository(request), request.match_info["job"]
        for run in self._core.world.runs_of(repository):
            for job in run.jobs:
                if str(job.id) == wanted:
                    return answer(200, run_shapes.workflow_job(job, self._core.urls))
        raise not_found("actions/workflow-jobs#get-a-job-for-a-workflow-run")


def _wanted(run: WorkflowRun, request: web.Request) -> bool:
    values: dict[str, set[str | None]] = {
        "event": {run.event},
        "branch": {run.head_branch},
        "head_sha": {run.head_sha},
        "actor": {run.actor.login},
        "status": {run.status, run.conclusion},
        "check_suite_id": {str(run.check_suite_id)},
    }
    query = request.query
    if any(query[name] not in allowed for name, allowed in values.items() if name in query):
        return False
    workflow = request.match_info.get("workflow")
    if workflow and workflow not in {
        str(run.workflow.id),
        run.workflow.path.rpartition("/")[2],
    }:
        return False
    return "created" not in query or _created(run.created_at, query["created"])


def _created(moment: datetime, text: str) -> bool:
    """GitHub's search syntax for dates: `>=T`, `<T`, `A..B`, a day.

    Source: https://docs.github.com/search-github/getting-started-with-searching-on-github/understanding-the-search-syntax#query-for-dates
    """
    found = _RANGE.fullmatch(text)
    if found is None:
        raise invalid(f"{text} is not a date.", DOCS)
    sign, first, second = found.groups()
    at = moment.replace(microsecond=0)
    low, low_end = _day_or_moment(first)
    if second is not None:
        return (first == "*" or low <= at) and (second == "*" or at <= _day_or_moment(second)[1])
    return {
        ">=": at >= low,
        ">": at > low_end,
        "<=": at <= low_end,
        "<": at < low,
        "": low <= at <= low_end,
    }[sign]


def _day_or_moment(text: str) -> tuple[datetime, datetime]:
    if text == "*":
        return datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise invalid(f"{text} is not a date.", DOCS) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    whole_day = len(text) == 10
    return moment, moment.replace(hour=23, minute=59, second=59) if whole_day else moment
