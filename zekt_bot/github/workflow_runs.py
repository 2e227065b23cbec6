"""What GitHub tells of a repository's runs and their jobs, for whoever missed some.

Source: https://docs.github.com/rest/actions/workflow-runs
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from zekt_bot.errors import GitHubAnswered

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.domain.catalog import Repository
    from zekt_bot.github.client import GitHub
    from zekt_bot.github.http import Answer

PAGE = 100
MOST_PAGES = 10  # of one search GitHub gives 1,000 runs


@dataclass(frozen=True, slots=True)
class Search:
    """Which runs of a repository: created from `since` on, until `until`, started by `event`."""

    since: datetime
    until: datetime | None = None
    event: str | None = None

    def query(self, page: int) -> str:
        """As GitHub's query. A day, not a moment: the same address can be asked conditionally."""
        until = f"{self.until:%Y-%m-%dT%H:%M:%SZ}" if self.until else "*"
        wanted: dict[str, str | int] = {"created": f"{self.since:%Y-%m-%d}..{until}"}
        if self.event:
            wanted["event"] = self.event
        return urlencode({**wanted, "per_page": PAGE, "page": page})


@dataclass(frozen=True, slots=True)
class Listed:
    """Some of them, the newest first. `tag` is what to know it by, `share_left` as of `Answer`."""

    rows: tuple[dict[str, Any], ...] = field(repr=False)
    tag: str | None
    share_left: float


async def page(
    github: GitHub, repository: Repository, search: Search, number: int, known: str | None = None
) -> Listed | None:
    """A page of the runs; None: it is still what `known` stands for, and cost no request.

    Raises:
        GitHubAnswered: any status but 200 and 304, or no list.
        GitHubError: as `GitHub.ask_as_installation`.

    Source: https://docs.github.com/rest/actions/workflow-runs#list-workflow-runs-for-a-repository
    """
    path = f"/repositories/{repository.id:d}/actions/runs?{search.query(number)}"
    answer = await github.ask_as_installation(repository.installation_id or 0, path, known=known)
    return None if answer.status == 304 else _listed(answer, "workflow_runs")


async def jobs(github: GitHub, repository: Repository, run_id: int, attempt: int) -> Listed:
    """The jobs of one attempt, at most 1,000.

    Raises:
        GitHubError: as in `page`.

    Source: https://docs.github.com/rest/actions/workflow-jobs#list-jobs-for-a-workflow-run-attempt
    """
    base = f"/repositories/{repository.id:d}/actions/runs/{run_id:d}/attempts/{attempt:d}/jobs"
    found: list[dict[str, Any]] = []
    share_left = 1.0
    for number in range(1, MOST_PAGES + 1):
        path = f"{base}?per_page={PAGE}&page={number}"
        answer = await github.ask_as_installation(repository.installation_id or 0, path)
        listed = _listed(answer, "jobs")
        found += listed.rows
        share_left = listed.share_left
        if len(listed.rows) < PAGE:
            break
    return Listed(tuple(found), None, share_left)


async def attempt(
    github: GitHub, repository: Repository, run_id: int, number: int
) -> tuple[dict[str, Any] | None, float]:
    """One attempt of a run, or None if GitHub has it no longer; and `share_left` as of `Answer`.

    Raises:
        GitHubError: as in `page`.

    Source: https://docs.github.com/rest/actions/workflow-runs#get-a-workflow-run-attempt
    """
    path = f"/repositories/{repository.id:d}/actions/runs/{run_id:d}/attempts/{number:d}"
    answer = await github.ask_as_installation(repository.installation_id or 0, path)
    if answer.status == 404:
        return None, answer.share_left
    if answer.status != 200:
        raise answer.error()
    return answer.mapping(), answer.share_left


def _listed(answer: Answer, name: str) -> Listed:
    if answer.status != 200:
        raise answer.error()
    rows = answer.mapping().get(name)
    if not isinstance(rows, list):
        raise GitHubAnswered(answer.status, "the answer is not the list that was asked for")
    told = tuple(row for row in rows if isinstance(row, dict))
    return Listed(told, answer.headers.get("etag"), answer.share_left)
