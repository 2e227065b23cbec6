"""Whatever stands in news of installations and repositories: done, or set aside with the reason."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from zekt_bot.db.tables import inbox
from zekt_bot.testing import payloads

if TYPE_CHECKING:
    from tests.stage import Stage

ABSURD: list[Any] = [None, "a\0b", "x" * 5000, 2**63, [1], {"id": 2**63}]
PLACES: dict[str, list[tuple[str, ...]]] = {
    "installation": [("installation",), ("repositories",), ("sender",)],
    "installation_repositories": [
        ("installation", "account"),
        ("installation", "account", "id"),
        ("repositories_added",),
        ("repositories_removed",),
    ],
    "repository": [("action",), ("repository", "id"), ("repository", "owner")],
    "installation_target": [("account",), ("account", "login")],
}


def bodies(stage: Stage) -> dict[str, dict[str, Any]]:
    """One of each, as GitHub sends it."""
    held, sender, mine = stage.providing, stage.github.sender, [stage.provider]
    about = {"installation": {"id": held.id}}
    return {
        "installation": payloads.installation(held, "created", mine, sender),
        "installation_repositories": payloads.installation_repositories(held, mine, [], sender),
        "repository": payloads.repository(stage.provider, "renamed", sender) | about,
        "installation_target": payloads.installation_target(stage.provider.owner, "x", sender)
        | about,
    }


def changed(body: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The body with `value` in its place."""
    whole = part = deepcopy(body)
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    return whole


async def test_absurd_news_are_done_or_set_aside_at_once(stage: Stage) -> None:
    await stage.serve()
    told = 0
    for event, body in bodies(stage).items():
        for place in PLACES[event]:
            for value in ABSURD:
                receipt = await stage.tell(event, changed(body, place, value))
                told += receipt.ignored is None
    while await stage.route():
        pass
    rows = await stage.rows(inbox)
    assert len(rows) == told
    tried_again = [
        (row["event"], row["reason"])
        for row in rows
        if row["state"] != "processed" and (row["state"] != "set_aside" or row["failures"] > 1)
    ]
    assert tried_again == []
    assert all(row["reason"] for row in rows if row["state"] == "set_aside")
    await stage.finish_run("build")
    assert [outcome and outcome.kind for outcome in await stage.flow()] == ["dispatched"]
