"""What of GitHub's lists and files is taken, whatever is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.github.server import CONSUMER, INSTALLATION
from zekt_bot.errors import GitHubAnswered
from zekt_bot.github.http import Answer
from zekt_bot.github.workflows import ListedWorkflow, Preflight, by_path, workflows

if TYPE_CHECKING:
    from tests.github.server import FakeGitHub
    from zekt_bot.github.client import GitHub

BASE = f"/repositories/{CONSUMER}"
FOLDER = f"{BASE}/contents/.github/workflows"


def row(number: int, **other: Any) -> dict[str, Any]:
    return {"id": number, "name": "CI", "path": f"w{number}.yml", "state": "active", **other}


@pytest.fixture
def preflight(github: GitHub) -> Preflight:
    return Preflight(github, INSTALLATION, CONSUMER)


async def test_rows_that_are_none_are_left_out(fake: FakeGitHub, preflight: Preflight) -> None:
    rows = [row(1), row(2, path=None), row(3, name=None), row(4, state=1), row(5, id="5"), 6, None]
    fake.script("GET", f"{BASE}/actions/workflows", 200, {"workflows": rows})
    assert await preflight.workflows() == [
        ListedWorkflow(1, "CI", "w1.yml", "active"),
        ListedWorkflow(3, "w3.yml", "w3.yml", "active"),
    ]


async def test_a_list_without_end_is_an_error() -> None:
    async def endless(_: str) -> Answer:
        return Answer(200, {}, b'{"workflows": [%s]}' % b",".join([b"{}"] * 100))

    with pytest.raises(GitHubAnswered, match="2000"):
        await workflows(endless, 1)


def test_a_deleted_workflow_hides_none_that_is_there() -> None:
    gone, there = ListedWorkflow(1, "a", "p", "deleted"), ListedWorkflow(2, "b", "p", "active")
    assert by_path([gone, there]) == by_path([there, gone]) == {"p": there}


async def test_only_workflow_files_of_the_folder_count(
    fake: FakeGitHub, preflight: Preflight
) -> None:
    entry = {"type": "file", "size": 5, "path": ".github/workflows/a.yml"}
    others = [
        {**entry, "path": "README.md"},
        {**entry, "type": "dir"},
        {**entry, "size": None},
        {**entry, "path": 1},
        "x",
    ]
    fake.script("GET", FOLDER, 200, [entry, *others])
    assert [one.path for one in await preflight.files("main")] == [".github/workflows/a.yml"]
    fake.script("GET", FOLDER, 404, {"message": "Not Found"})
    assert await preflight.files("main") == []


@pytest.mark.parametrize(
    ("told", "content"),
    [
        ({"encoding": "base64", "content": "b246\nIHB1c2g="}, b"on: push"),
        ({"encoding": "none", "content": ""}, None),
        ({"encoding": "base64", "content": None}, None),
        ({"type": "submodule"}, None),
    ],
)
async def test_a_file_comes_out_of_base64(
    fake: FakeGitHub, preflight: Preflight, told: dict[str, Any], content: bytes | None
) -> None:
    fake.script("GET", f"{BASE}/contents/a b.yml", 200, told)
    assert await preflight.file("a b.yml", "feature/x y") == content
    assert fake.seen[-1].query == "ref=feature/x y"


async def test_a_file_that_is_gone_is_none(fake: FakeGitHub, preflight: Preflight) -> None:
    fake.script("GET", f"{BASE}/contents/a.yml", 404, {"message": "Not Found"})
    assert await preflight.file("a.yml", "main") is None


async def test_answers_of_another_shape_are_errors(fake: FakeGitHub, preflight: Preflight) -> None:
    shapes: list[tuple[str, Any, Any]] = [
        ("", {"id": 1}, preflight.default_branch),
        ("/actions/workflows", {"workflows": {}}, preflight.workflows),
        ("/contents/.github/workflows", {}, lambda: preflight.files("main")),
        ("/contents/a.yml", [], lambda: preflight.file("a.yml", "main")),
        (
            "/contents/a.yml",
            {"encoding": "base64", "content": "x"},
            lambda: preflight.file("a.yml", "main"),
        ),
        ("/actions/workflows/7/runs", {}, lambda: preflight.newest_branch(7)),
    ]
    for tail, body, call in shapes:
        fake.script("GET", BASE + tail, 200, body)
        with pytest.raises(GitHubAnswered):
            await call()
        fake.script("GET", BASE + tail, 403, {"message": "no"})
        with pytest.raises(GitHubAnswered, match="403"):
            await call()


@pytest.mark.parametrize(
    ("runs", "branch"),
    [
        ([{"head_branch": "topic"}], "topic"),
        ([{"head_branch": None}], None),
        ([], None),
        ([1], None),
    ],
)
async def test_the_newest_runs_branch(
    fake: FakeGitHub, preflight: Preflight, runs: list[Any], branch: str | None
) -> None:
    fake.script("GET", f"{BASE}/actions/workflows/7/runs", 200, {"workflow_runs": runs})
    assert await preflight.newest_branch(7) == branch
