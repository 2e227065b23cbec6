"""Installation tokens: their form, life, and what they are narrowed to."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.testing.conftest import Scene
    from zekt_bot.testing import ManualClock

NOT_ACCESSIBLE = (
    "There is at least one repository that does not exist or is not accessible to the parent "
    "installation."
)


async def test_a_token_has_githubs_form(scene: Scene) -> None:
    answer = await scene.client.mint(scene.installation)
    assert answer.status == 201
    token = answer.body["token"]
    assert re.fullmatch(rf"ghs_{scene.app.id}_[\w-]+\.[\w-]+\.[\w-]+", token)
    assert 510 <= len(token) <= 530
    assert answer.body["expires_at"] == "2026-07-01T13:00:00Z"
    assert answer.body["permissions"] == {
        "actions": "read",
        "contents": "write",
        "metadata": "read",
    }
    assert answer.body["repository_selection"] == "all"
    assert "repositories" not in answer.body


async def test_a_token_lives_an_hour(scene: Scene, clock: ManualClock) -> None:
    token = await scene.client.token(scene.installation)
    path = "/installation/repositories"
    assert (await scene.client.ask("GET", path, token)).status == 200
    clock.advance(timedelta(hours=1))
    answer = await scene.client.ask("GET", path, token)
    assert (answer.status, answer.body["message"]) == (401, "Bad credentials")
    missing = await scene.client.ask("GET", path)
    assert (missing.status, missing.body["message"]) == (401, "Requires authentication")


async def test_a_narrow_token_reaches_only_its_repositories(scene: Scene) -> None:
    other = scene.github.repository(scene.org, "other", private=True)
    answer = await scene.client.mint(
        scene.installation, repository_ids=[scene.api.id], permissions={"contents": "write"}
    )
    assert answer.body["repository_selection"] == "selected"
    assert [one["full_name"] for one in answer.body["repositories"]] == ["aurora-labs/payments-api"]
    assert answer.body["permissions"] == {"contents": "write", "metadata": "read"}
    token = answer.body["token"]

    listed = (await scene.client.ask("GET", "/installation/repositories", token)).body
    assert [one["id"] for one in listed["repositories"]] == [scene.api.id]
    assert (await scene.client.ask("GET", f"/repos/{other.full_name}", token)).status == 404
    assert (await scene.client.ask("GET", f"/repos/{scene.docs.full_name}", token)).status == 200
    assert (await scene.client.dispatch(token, scene.api.full_name)).status == 204
    hidden = await scene.client.dispatch(token, other.full_name)
    assert (hidden.status, hidden.body["message"]) == (404, "Not Found")
    public = await scene.client.dispatch(token, scene.docs.full_name)
    assert public.status == 403
    assert public.body["message"] == "Resource not accessible by integration"


async def test_repositories_may_be_named(scene: Scene) -> None:
    answer = await scene.client.mint(scene.installation, repositories=["docs"])
    assert [one["id"] for one in answer.body["repositories"]] == [scene.docs.id]


async def test_a_token_without_a_permission_is_refused(scene: Scene) -> None:
    token = await scene.client.token(scene.installation, permissions={"metadata": "read"})
    answer = await scene.client.dispatch(token, scene.api.full_name)
    assert answer.status == 403
    assert answer.body["message"] == "Resource not accessible by integration"
    assert answer.headers["X-Accepted-GitHub-Permissions"] == "contents=write"
    runs = await scene.client.ask("GET", f"/repos/{scene.api.full_name}/actions/runs", token)
    assert runs.status == 403


@pytest.mark.parametrize(
    ("narrow", "message"),
    [
        ({"repository_ids": [1]}, NOT_ACCESSIBLE),
        ({"repositories": ["nothing"]}, NOT_ACCESSIBLE),
        (
            {"permissions": {"administration": "write"}},
            "The permissions requested are not granted to this installation.",
        ),
        (
            {"permissions": {"actions": "write"}},
            "The permissions requested are not granted to this installation.",
        ),
        (
            {"repository_ids": list(range(501))},
            "Invalid request.\n\nNo more than 500 items are allowed; 501 were supplied.",
        ),
        (
            {"repository_ids": ["a"]},
            "Invalid request.\n\nFor 'properties/repository_ids/items', \"a\" is not an integer.",
        ),
        (
            {"repositories": [None]},
            "Invalid request.\n\nFor 'properties/repositories/items', nil is not a string.",
        ),
    ],
)
async def test_what_is_not_granted_is_refused(
    scene: Scene, narrow: dict[str, Any], message: str
) -> None:
    answer = await scene.client.mint(scene.installation, **narrow)
    assert (answer.status, answer.body["message"]) == (422, message)
    assert answer.body["documentation_url"].endswith("access-token-for-an-app")


async def test_a_suspended_installation_gets_no_token(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    await scene.github.suspend(scene.installation)
    minted = await scene.client.mint(scene.installation)
    assert (minted.status, minted.body["message"]) == (403, "This installation has been suspended")
    used = await scene.client.dispatch(token, scene.api.full_name)
    assert (used.status, used.body["message"]) == (
        403,
        "Sorry. This installation owned by aurora-labs suspended your access at "
        "2026-07-01T12:00:00Z.",
    )
    await scene.github.unsuspend(scene.installation)
    assert (await scene.client.mint(scene.installation)).status == 201


async def test_an_uninstalled_app_gets_no_token(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    await scene.github.uninstall(scene.installation)
    assert (await scene.client.mint(scene.installation)).status == 404
    answer = await scene.client.dispatch(token, scene.api.full_name)
    assert (answer.status, answer.body["message"]) == (401, "Bad credentials")


async def test_removing_a_repository_acts_on_living_tokens(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    await scene.github.remove_repositories(scene.installation, scene.api)
    assert (await scene.client.dispatch(token, scene.api.full_name)).status == 404
    answer = await scene.client.mint(scene.installation, repository_ids=[scene.api.id])
    assert answer.status == 422


async def test_tokens_can_be_revoked(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    assert (await scene.client.ask("DELETE", "/installation/token", token)).status == 204
    assert (await scene.client.dispatch(token, scene.api.full_name)).status == 401


async def test_the_rate_limit_counts_an_installations_hour(
    scene: Scene, clock: ManualClock
) -> None:
    scene.installation.rate_limit = 2
    token = await scene.client.token(scene.installation)
    path = f"/repos/{scene.api.full_name}"
    answers = [await scene.client.ask("GET", path, token) for _ in range(3)]
    assert [one.status for one in answers] == [200, 200, 403]
    assert [one.headers["X-RateLimit-Remaining"] for one in answers] == ["1", "0", "0"]
    reset = int(clock.now().timestamp()) + 3600
    assert answers[2].headers["X-RateLimit-Reset"] == str(reset)
    assert "API rate limit exceeded" in answers[2].body["message"]
    clock.advance(timedelta(hours=1))
    token = await scene.client.token(scene.installation)
    assert (await scene.client.ask("GET", path, token)).status == 200
