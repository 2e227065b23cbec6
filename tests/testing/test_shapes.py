"""What the simulator sends and answers has the keys and types of GitHub's own descriptions."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.testing.conftest import Scene

SHAPES: dict[str, Any] = json.loads(Path(__file__).with_name("github_shapes.json").read_text())
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
# Where GitHub sends something else than it describes; the contract is what it sends.
UNLIKE_THE_DESCRIPTION = {
    # The times of an installation are numbers in these actions.
    *(
        (event, f"installation.{name}")
        for event in (
            "installation.created",
            "installation.deleted",
            "installation.new_permissions_accepted",
            "installation_repositories.added",
            "installation_repositories.removed",
        )
        for name in ("created_at", "updated_at")
    ),
    # A fork that was deleted.
    *(
        (f"workflow_run.{action}", "workflow_run.head_repository")
        for action in ("requested", "in_progress", "completed")
    ),
}


def problems(value: Any, shape: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Where a value is not of this shape, and why."""
    while isinstance(shape, str) and shape.startswith("#"):
        shape = SHAPES["named"][shape[1:]]
    if isinstance(shape, list):
        if not isinstance(value, list):
            yield at, "is no list"
            return
        for item in value:
            yield from problems(item, shape[0], f"{at}[]")
    elif isinstance(shape, str):
        if shape != "any" and not is_a(value, shape):
            yield at, f"is no {shape}: {value!r}"
    elif "any" in shape:
        tried = [list(problems(value, one, at)) for one in shape["any"]]
        yield from min(tried, key=len)
    elif not isinstance(value, dict):
        yield at, f"is no object: {value!r}"
    else:
        for name, inner in shape["keys"].items():
            place = f"{at}.{name}".lstrip(".")
            if name not in value:
                yield place, "is missing"
            else:
                yield from problems(value[name], inner, place)


def is_a(value: Any, kind: str) -> bool:
    """Whether a value is of a JSON type; true is no number."""
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, TYPES[kind])


async def play(scene: Scene) -> None:
    """Let everything happen of which a webhook tells."""
    github, org, api = scene.github, scene.org, scene.api
    person = github.account("mona", "User")
    other = github.account("kestrel-bank")
    second = github.app("second", hook_url=scene.receiver.url)
    installation = await github.install(second, org, [api])
    await github.add_repositories(installation, scene.docs)
    await github.remove_repositories(installation, scene.docs)
    await github.accept_permissions(installation, {"actions": "read"})
    await github.suspend(installation)
    await github.unsuspend(installation)
    await github.uninstall(installation)
    await github.revoke_authorization(scene.app, person)
    run = await github.start_run(api, "ci.yml", event="pull_request")
    await run.start_job("build")
    await run.queue_job("test")
    await run.complete("failure")
    await run.rerun()
    await run.complete()
    gone = await github.start_run(api, "ci.yml", fork_deleted=True)
    await gone.complete()
    await github.rename(api, "payments")
    await github.archive(api)
    await github.unarchive(api)
    await github.publicize(api)
    await github.privatize(api)
    await github.change_default_branch(api, "trunk")
    await github.install(scene.app, other)
    await github.install(scene.app, person)
    await github.transfer(scene.docs, other)
    await github.rename_account(org, "aurora")
    await github.rename_account(person, "lisa")


async def test_every_webhook_has_the_keys_and_types_of_githubs(scene: Scene) -> None:
    await play(scene)
    sent = {hook.named for hook in scene.receiver.hooks}
    assert sent == set(SHAPES["events"]), "each event with a shape is sent, and each sent has one"
    found = {
        (hook.named, place, why)
        for hook in scene.receiver.hooks
        for place, why in problems(hook.body, SHAPES["events"][hook.named])
        if (hook.named, place) not in UNLIKE_THE_DESCRIPTION
    }
    assert not found


async def test_every_answer_has_the_keys_and_types_of_githubs(scene: Scene) -> None:
    run = await scene.github.start_run(scene.api, "ci.yml")
    await run.start_job("build")
    await run.complete()
    token = await scene.client.token(scene.installation)
    delivery = scene.github.deliveries[-1].id
    scene.github.core.world.request(scene.app, scene.org, scene.github.account("mona", "User"))
    places = {
        "{org}": scene.org.login,
        "{installation_id}": str(scene.installation.id),
        "{delivery_id}": str(delivery),
        "{username}": "octocat",
        "{owner}/{repo}": scene.api.full_name,
        "{run_id}": str(run.id),
        "{attempt_number}": "1",
    }
    found = []
    for call, shape in SHAPES["answers"].items():
        method, _, path = call.partition(" ")
        for name, value in places.items():
            path = path.replace(name, value)
        credential = scene.client.jwt(scene.app) if path.startswith("/app") else token
        body = {"repository_ids": [scene.api.id]} if method == "POST" else None
        answer = await scene.client.ask(method, path, credential, body)
        assert answer.status in {200, 201}, call
        found += [(call, *problem) for problem in problems(answer.body, shape)]
    assert not found


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("id", None, "is missing"),
        ("id", "7", "is no integer: '7'"),
        ("private", 1, "is no boolean: 1"),
    ],
)
async def test_a_key_that_goes_missing_or_changes_its_type_is_found(
    scene: Scene, name: str, value: Any, why: str
) -> None:
    await scene.github.start_run(scene.api, "ci.yml")
    body = copy.deepcopy(scene.receiver.hooks[-1].body)
    body["repository"][name] = value
    if value is None:
        del body["repository"][name]
    shape = SHAPES["events"]["workflow_run.requested"]
    assert list(problems(body, shape)) == [(f"repository.{name}", why)]
