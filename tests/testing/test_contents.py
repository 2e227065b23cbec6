"""Workflow files: reading them by API, what starts from them, and what happens to them."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.testing.client import Answer
    from tests.testing.conftest import Scene

DEPLOY = ".github/workflows/deploy.yml"
TEXT = """\
name: Deploy
run-name: Deploy ${{ github.event.client_payload.zekt.deliveryId }}
on:
  push:
  repository_dispatch:
    types: [build, release]
jobs: {}
"""


async def ask(scene: Scene, tail: str, permissions: dict[str, str] | None = None) -> Answer:
    narrow = permissions or {"contents": "read", "actions": "read"}
    token = await scene.client.token(scene.installation, permissions=narrow)
    return await scene.client.ask("GET", f"/repos/{scene.api.full_name}{tail}", token)


async def test_a_file_comes_in_lines_of_base64_under_gits_own_name(scene: Scene) -> None:
    scene.github.add_workflow(scene.api, DEPLOY, text=TEXT)
    told = (await ask(scene, f"/contents/{DEPLOY}")).body
    assert base64.b64decode(told["content"]).decode() == TEXT
    assert max(map(len, told["content"].splitlines())) == 60
    assert (told["type"], told["encoding"], told["size"]) == ("file", "base64", len(TEXT))
    framed = b"blob %d\0" % len(TEXT) + TEXT.encode()
    assert told["sha"] == hashlib.sha1(framed, usedforsecurity=False).hexdigest()
    assert (
        told["url"]
        == told["_links"]["self"]
        == (f"{scene.github.api_url}/repos/{scene.api.full_name}/contents/{DEPLOY}?ref=main")
    )
    assert (await scene.client.ask("GET", told["url"])).status == 404  # private


async def test_a_folder_lists_files_and_folders_by_name(scene: Scene) -> None:
    scene.github.add_workflow(scene.api, DEPLOY)
    scene.github.write_file(scene.api, "README.md", "# Payments")
    root = (await ask(scene, "/contents")).body
    assert [(one["name"], one["type"]) for one in root] == [
        (".github", "dir"),
        ("README.md", "file"),
    ]
    assert root[0]["download_url"] is None
    assert "content" not in root[1]
    inner = (await ask(scene, "/contents/.github/workflows/?ref=refs/heads/main")).body
    assert [one["path"] for one in inner] == [DEPLOY]


async def test_what_is_not_there_is_not_found(scene: Scene) -> None:
    empty = await ask(scene, "/contents/.github/workflows")
    assert (empty.status, empty.body["message"]) == (404, "This repository is empty.")
    scene.github.write_file(scene.api, "README.md", "")
    assert (await ask(scene, "/contents/README.md")).body["content"] == ""
    assert (await ask(scene, "/contents/.github/workflows")).body["message"] == "Not Found"
    other = await ask(scene, "/contents/README.md?ref=topic")
    assert (other.status, other.body["message"]) == (404, "No commit found for the ref topic")


async def test_a_private_repositorys_files_need_the_contents_permission(scene: Scene) -> None:
    scene.github.add_workflow(scene.api, DEPLOY)
    scene.github.add_workflow(scene.docs, DEPLOY)
    refused = await ask(scene, f"/contents/{DEPLOY}", {"actions": "read"})
    assert refused.status == 403
    assert refused.headers["X-Accepted-GitHub-Permissions"] == "contents=read"
    public = await scene.client.ask("GET", f"/repos/{scene.docs.full_name}/contents/{DEPLOY}")
    assert public.status == 200


async def test_a_file_over_a_megabyte_comes_without_its_content(scene: Scene) -> None:
    scene.github.write_file(scene.api, "big.bin", b"x" * (1024 * 1024 + 1))
    told = (await ask(scene, "/contents/big.bin")).body
    assert (told["content"], told["encoding"], told["size"]) == ("", "none", 1024 * 1024 + 1)


async def test_github_reads_name_run_name_and_types_in_the_file(scene: Scene) -> None:
    scene.github.write_file(scene.api, DEPLOY, TEXT)
    (workflow,) = scene.api.workflows
    assert (workflow.name, workflow.on_dispatch_types) == ("Deploy", ("build", "release"))
    token = await scene.client.token(scene.installation)
    payload = {"zekt": {"deliveryId": "dlv_1"}}
    for event_type in ("build", "unheard"):
        await scene.client.dispatch(token, scene.api.full_name, event_type, payload)
    await scene.github.settle()
    assert [run.display_title for run in scene.github.runs] == ["Deploy dlv_1"]


@pytest.mark.parametrize(
    ("on", "types"),
    [
        ("repository_dispatch", ("*",)),
        ("[push, repository_dispatch]", ("*",)),
        ("{repository_dispatch: }", ("*",)),
        ("{repository_dispatch: {types: build}}", ("build",)),
        ("push", ()),
        ("{push: }", ()),
        ("3", ()),
    ],
)
async def test_every_form_of_on_is_read(scene: Scene, on: str, types: tuple[str, ...]) -> None:
    workflow = scene.github.add_workflow(scene.api, DEPLOY, text=f"on: {on}\n")
    assert workflow.on_dispatch_types == types
    scene.github.write_file(scene.api, DEPLOY, "on: [")
    assert workflow.on_dispatch_types == ()


async def test_a_made_file_says_what_its_workflow_does(scene: Scene) -> None:
    made = scene.github.add_workflow(
        scene.api,
        DEPLOY,
        "Deploy",
        on_dispatch_types=["build"],
        run_name="Deploy: ${{ github.actor }}",
    )
    text = scene.api.files["main"][DEPLOY]
    again = scene.github.add_workflow(scene.docs, DEPLOY, text=text.decode())
    assert (again.name, again.run_name) == (made.name, made.run_name)
    assert again.on_dispatch_types == made.on_dispatch_types


async def _started(scene: Scene) -> int:
    before = len(scene.github.runs)
    token = await scene.client.token(scene.installation)
    assert (await scene.client.dispatch(token, scene.api.full_name)).status == 204
    await scene.github.settle()
    return len(scene.github.runs) - before


async def test_a_dispatch_starts_active_workflows_of_the_default_branch_only(scene: Scene) -> None:
    github, api = scene.github, scene.api
    workflow = github.add_workflow(api, "a.yml", on_dispatch_types=["*"])
    github.add_workflow(api, "b.yml", on_dispatch_types=["*"], branch="topic")
    assert await _started(scene) == 1
    for state in ("disabled_manually", "disabled_inactivity"):
        github.disable_workflow(workflow, state)
        assert await _started(scene) == 0
        listed = (await ask(scene, "/actions/workflows/a.yml")).body
        assert listed["state"] == state
    github.enable_workflow(workflow)
    github.disable_actions(api)
    assert await _started(scene) == 0
    github.enable_actions(api)
    assert await _started(scene) == 1


async def test_a_renamed_workflow_is_another_one(scene: Scene) -> None:
    workflow = scene.github.add_workflow(scene.api, "a.yml", on_dispatch_types=["*"])
    assert await _started(scene) == 1
    moved = scene.github.rename_workflow(workflow, "b.yml")
    assert await _started(scene) == 1
    listed = (await ask(scene, "/actions/workflows")).body["workflows"]
    assert [(one["path"], one["state"]) for one in listed] == [
        (workflow.path, "deleted"),
        (moved.path, "active"),
    ]
    assert listed[0]["id"] != listed[1]["id"]
    assert "deleted_at" in listed[0]
    assert (await ask(scene, f"/contents/{workflow.path}")).status == 404


async def test_a_deleted_workflow_without_runs_is_listed_no_more(scene: Scene) -> None:
    workflow = scene.github.add_workflow(scene.api, "a.yml", on_dispatch_types=["*"])
    scene.github.delete_workflow(workflow)
    assert (await ask(scene, "/actions/workflows")).body["total_count"] == 0
    assert await _started(scene) == 0


async def test_files_written_while_actions_is_off_are_read_when_it_is_on(scene: Scene) -> None:
    scene.github.disable_actions(scene.api)
    scene.github.write_file(scene.api, DEPLOY, TEXT)
    assert (await ask(scene, "/actions/workflows")).body["total_count"] == 0
    scene.github.enable_actions(scene.api)
    assert (await ask(scene, "/actions/workflows")).body["total_count"] == 1


async def test_only_an_administrator_may_ask_whether_actions_is_on(scene: Scene) -> None:
    assert (await ask(scene, "/actions/permissions")).status == 403
    app = scene.github.app("admin", permissions={"administration": "read"})
    installation = await scene.github.install(app, scene.org)
    token = await scene.client.token(installation)
    path = f"/repos/{scene.api.full_name}/actions/permissions"
    assert (await scene.client.ask("GET", path, token)).body == {
        "enabled": True,
        "allowed_actions": "all",
    }
    scene.github.disable_actions(scene.api)
    assert (await scene.client.ask("GET", path, token)).body == {"enabled": False}


async def test_a_new_default_branch_begins_with_the_former_ones_files(scene: Scene) -> None:
    scene.github.add_workflow(scene.api, "a.yml", on_dispatch_types=["*"])
    await scene.github.change_default_branch(scene.api, "trunk")
    assert await _started(scene) == 1
    scene.github.write_file(scene.api, "only.txt", "x", branch="topic")
    await scene.github.change_default_branch(scene.api, "topic")
    assert await _started(scene) == 0
