"""What the simulator says of a person's role on a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.testing.conftest import Scene
    from zekt_bot.testing.model import Role

WORDS: dict[Role | None, str] = {
    "admin": "admin",
    "maintain": "write",
    "write": "write",
    "triage": "read",
    "read": "read",
    None: "none",
}


@pytest.mark.parametrize("role", WORDS)
async def test_a_role_is_told_as_github_tells_it(scene: Scene, role: Role | None) -> None:
    person = scene.github.account("ada", "User")
    scene.github.grant(scene.api, person, role)
    token = await scene.client.token(scene.installation, permissions={"metadata": "read"})
    path = f"/repositories/{scene.api.id}/collaborators/ada/permission"
    answer = await scene.client.ask("GET", path, token)
    assert answer.status == 200
    assert answer.body["permission"] == WORDS[role]
    assert answer.body["role_name"] == answer.body["user"]["role_name"] == (role or "none")
    assert answer.body["user"]["id"] == person.id
    assert list(answer.body["user"]["permissions"]) == [
        "admin",
        "maintain",
        "push",
        "triage",
        "pull",
    ]
    assert answer.body["user"]["permissions"]["admin"] is (role == "admin")
    assert answer.body["user"]["permissions"]["maintain"] is (role in {"admin", "maintain"})
    assert answer.body["user"]["permissions"]["pull"] is (role is not None)


async def test_nobody_is_told_of_a_person_that_is_not_there(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    path = f"/repos/{scene.api.full_name}/collaborators/nobody/permission"
    assert (await scene.client.ask("GET", path, token)).status == 404
    assert (await scene.client.ask("GET", path)).status == 401
