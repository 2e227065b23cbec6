"""What of GitHub's list of deliveries is taken, whatever is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from zekt_bot.errors import GitHubAnswered
from zekt_bot.github import hook_deliveries
from zekt_bot.github.http import Answer

if TYPE_CHECKING:
    from tests.github.server import FakeGitHub
    from zekt_bot.github.client import GitHub

LIST = "/app/hook/deliveries"


def row(number: int, **other: Any) -> dict[str, Any]:
    whole = {
        "id": number,
        "guid": f"g-{number}",
        "event": "workflow_run",
        "delivered_at": "2026-07-01T12:00:00Z",
        "status_code": 202,
        "repository_id": 7,
    }
    return {**whole, **other}


async def test_rows_that_are_none_are_left_out(fake: FakeGitHub, github: GitHub) -> None:
    broken = [row(2, guid=None), row(3, delivered_at="soon"), row(4, event=1), row("5"), 6, None]  # type: ignore[arg-type]
    last = row(7, repository_id=None, status_code=None)
    fake.script("GET", LIST, 200, [row(1), *broken, last])
    page = await hook_deliveries.page(github)
    assert [(each.id, each.repository_id, each.answered) for each in page.deliveries] == [
        (1, 7, True),
        (7, None, False),
    ]
    assert page.deliveries[0].delivered_at == datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert page.cursor is None


@pytest.mark.parametrize(
    ("link", "cursor"),
    [
        ('<https://evil.example/x?cursor=v1_9&per_page=1>; rel="next"', "v1_9"),
        ('<https://a/x?cursor=1>; rel="prev", <https://a/x?cursor=v1%262>; rel="next"', "v1&2"),
        ('<https://a/x?cursor=1>; rel="prev"', None),
        ('<https://a/x?page=2>; rel="next"', None),
        ("nonsense", None),
    ],
)
async def test_only_the_cursor_of_a_link_is_followed(
    fake: FakeGitHub, github: GitHub, link: str, cursor: str | None
) -> None:
    fake.script("GET", LIST, 200, [], Link=link)
    assert (await hook_deliveries.page(github)).cursor == cursor


@pytest.mark.parametrize("body", [{}, "text", None])
async def test_an_answer_that_is_no_list_is_an_error(
    fake: FakeGitHub, github: GitHub, body: Any
) -> None:
    fake.script("GET", LIST, 200, body)
    with pytest.raises(GitHubAnswered):
        await hook_deliveries.page(github)


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (200, {"request": {"payload": {"action": "completed"}}}, {"action": "completed"}),
        (200, {"request": {"payload": None}}, None),
        (200, {"request": None}, None),
        (200, [], None),
        (404, {"message": "Not Found"}, None),
        (422, {"message": "Gone"}, None),
    ],
)
async def test_a_payload_is_an_object_or_not_there(
    fake: FakeGitHub, github: GitHub, status: int, body: Any, found: Any
) -> None:
    fake.script("GET", f"{LIST}/1", status, body)
    assert (await hook_deliveries.carried(github, 1)).payload == found


async def test_any_other_status_is_an_error(fake: FakeGitHub, github: GitHub) -> None:
    fake.script("GET", f"{LIST}/1", 502, {})
    with pytest.raises(GitHubAnswered, match="502"):
        await hook_deliveries.carried(github, 1)


@pytest.mark.parametrize(
    ("limit", "left", "share"),
    [
        ("5000", "2500", 0.5),
        ("5000", "9999", 1.0),
        ("0", "0", 1.0),
        ("many", "1", 1.0),
        (None, "1", 1.0),
    ],
)
def test_the_share_that_is_left_of_an_hour(limit: str | None, left: str, share: float) -> None:
    headers = {"x-ratelimit-remaining": left} | ({"x-ratelimit-limit": limit} if limit else {})
    assert Answer(200, headers, b"").share_left == share
