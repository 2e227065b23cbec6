"""What of GitHub's lists of runs and jobs is taken, whatever is in them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests import factories
from tests.github.server import CONSUMER, INSTALLATION
from zekt_bot.errors import GitHubAnswered
from zekt_bot.github import workflow_runs
from zekt_bot.github.workflow_runs import Search

if TYPE_CHECKING:
    from tests.github.server import FakeGitHub
    from zekt_bot.github.client import GitHub

REPOSITORY = factories.repository(CONSUMER, installation_id=INSTALLATION)
RUNS = f"/repositories/{CONSUMER}/actions/runs"
ATTEMPT = f"{RUNS}/7/attempts/2"
DAY = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)


def test_a_search_is_a_day_and_perhaps_an_end() -> None:
    assert Search(DAY).query(1) == "created=2026-07-01..%2A&per_page=100&page=1"
    ends = Search(DAY, until=DAY, event="workflow_run").query(2)
    assert ends == (
        "created=2026-07-01..2026-07-01T12%3A30%3A00Z&event=workflow_run&per_page=100&page=2"
    )


async def test_what_is_no_object_is_left_out(fake: FakeGitHub, github: GitHub) -> None:
    fake.script("GET", RUNS, 200, {"workflow_runs": [{"id": 1}, 2, None]}, ETag='W/"x"')
    listed = await workflow_runs.page(github, REPOSITORY, Search(DAY), 1)
    assert listed is not None
    assert (listed.rows, listed.tag, listed.share_left) == (({"id": 1},), 'W/"x"', 1.0)


async def test_an_unchanged_page_is_not_told_again(fake: FakeGitHub, github: GitHub) -> None:
    fake.script("GET", RUNS, 304)
    assert await workflow_runs.page(github, REPOSITORY, Search(DAY), 1, 'W/"x"') is None
    assert fake.seen[-1].headers["if-none-match"] == 'W/"x"'


@pytest.mark.parametrize(("status", "body"), [(200, {}), (200, []), (502, {}), (404, {})])
async def test_anything_else_is_an_error(
    fake: FakeGitHub, github: GitHub, status: int, body: Any
) -> None:
    fake.script("GET", RUNS, status, body)
    with pytest.raises(GitHubAnswered):
        await workflow_runs.page(github, REPOSITORY, Search(DAY), 1)


async def test_jobs_come_in_pages(fake: FakeGitHub, github: GitHub) -> None:
    fake.script("GET", f"{ATTEMPT}/jobs", 200, {"jobs": [{"id": n} for n in range(100)]})
    fake.script("GET", f"{ATTEMPT}/jobs", 200, {"jobs": [{"id": 100}]})
    found = (await workflow_runs.jobs(github, REPOSITORY, 7, 2)).rows
    assert [job["id"] for job in found] == list(range(101))


async def test_an_attempt_may_be_gone(fake: FakeGitHub, github: GitHub) -> None:
    fake.script("GET", ATTEMPT, 200, {"id": 7})
    fake.script("GET", ATTEMPT, 404, {})
    fake.script("GET", ATTEMPT, 502, {})
    assert await workflow_runs.attempt(github, REPOSITORY, 7, 2) == ({"id": 7}, 1.0)
    assert await workflow_runs.attempt(github, REPOSITORY, 7, 2) == (None, 1.0)
    with pytest.raises(GitHubAnswered, match="502"):
        await workflow_runs.attempt(github, REPOSITORY, 7, 2)
