"""What happens at GitHub, and what Zekt does from then on: the table in docs/concepts/consent.md.

How news is heard: test_installations.py. Transfers: test_consent.py. The way back: test_lapses.py.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.pipeline.sending import DISPATCHES, matched, posts
from tests.stage import ME, Stage, open_stage
from zekt_bot.db.tables import attempts, deliveries, runs
from zekt_bot.operations import pauses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.testing import Repository

WAYS = {
    "uninstalled": "consent",
    "suspended": "consent",
    "taken out": "consent",
    "deleted": "consent",
    "archived": "no_access",
}
READ_ALONE = {"actions": "read", "contents": "read", "metadata": "read"}
WRITE = {**READ_ALONE, "contents": "write"}


async def take_back(stage: Stage, how: str, repository: Repository) -> None:
    """GitHub's people do it, and Zekt hears of it."""
    github = stage.github
    own = stage.consuming if repository is stage.consumer else stage.providing
    if how == "uninstalled":
        await github.uninstall(own)
    elif how == "suspended":
        await github.suspend(own)
    elif how == "taken out":
        await github.remove_repositories(own, repository)
    elif how == "deleted":
        await github.delete_repository(repository)
    else:
        await github.archive(repository)
    await stage.listen()


async def one(stage: Stage) -> Mapping[str, Any]:
    return await stage.row(deliveries)


@pytest.mark.parametrize("how", WAYS)
async def test_what_waits_for_a_later_try_is_blocked_at_once(stage: Stage, how: str) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, status=502)
    await stage.deliver()
    assert (await one(stage))["state"] == "retrying"
    await take_back(stage, how, stage.consumer)
    assert await stage.deliver() == [None]
    row = await one(stage)
    assert (row["state"], row["blocked_reason"]) == ("blocked", WAYS[how])
    assert len(await stage.rows(attempts)) == len(posts(stage)) == 1


async def test_what_waits_for_others_waits_on(stage: Stage) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, status=502)
    await stage.deliver()
    due = (await one(stage))["due_at"]
    other = stage.github.repository(stage.consumer.owner, "other", private=True)
    await take_back(stage, "archived", other)
    await take_back(stage, "uninstalled", stage.provider)
    await stage.github.install(stage.app, stage.provider.owner)
    await stage.listen()
    assert ((await one(stage))["due_at"], await stage.deliver()) == (due, [])
    stage.clock.advance(timedelta(minutes=1))
    await stage.deliver()
    assert (await one(stage))["state"] == "dispatched"


async def test_an_old_suspension_that_is_put_right_hastens_nothing(stage: Stage) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, status=502)
    await stage.deliver()
    due = (await one(stage))["due_at"]
    await stage.github.suspend(stage.consuming)
    (old,) = [each for each in stage.held if each.event == "installation"]
    stage.held.clear()
    await stage.github.unsuspend(stage.consuming)
    stage.held.clear()
    await stage.receive(old)
    while await stage.route():
        pass
    assert ((await one(stage))["due_at"], await stage.deliver()) == (due, [])


@pytest.mark.parametrize("how", WAYS)
async def test_what_is_on_hold_is_blocked_when_the_hold_ends(stage: Stage, how: str) -> None:
    await matched(stage)
    await pauses.pause(stage.broker, ME, pauses.Target())
    assert await stage.deliver() == [None]
    await take_back(stage, how, stage.consumer)
    assert ((await one(stage))["state"], await stage.deliver()) == ("pending", [])
    await pauses.resume(stage.broker, ME, pauses.Target())
    assert await stage.deliver() == [None]
    row = await one(stage)
    assert (row["state"], row["blocked_reason"]) == ("blocked", WAYS[how])
    assert posts(stage) == []


@pytest.mark.parametrize("how", ["uninstalled", "suspended", "taken out", "deleted"])
async def test_nothing_leaves_a_provider_without_consent(stage: Stage, how: str) -> None:
    await matched(stage)
    await take_back(stage, how, stage.provider)
    assert await stage.deliver() == [None]
    row = await one(stage)
    assert (row["state"], row["blocked_reason"]) == ("blocked", "consent")
    assert posts(stage) == []


async def test_what_ended_before_its_provider_was_archived_is_sent(stage: Stage) -> None:
    await matched(stage)
    await take_back(stage, "archived", stage.provider)
    await stage.deliver()
    assert (await one(stage))["state"] == "dispatched"


@pytest.mark.parametrize("how", ["uninstalled", "suspended", "taken out"])
async def test_nothing_is_received_from_a_provider_without_consent(stage: Stage, how: str) -> None:
    await stage.serve()
    with stage.github.hold() as late:
        await stage.finish_run("build")
    await take_back(stage, how, stage.provider)
    for each in late:
        await stage.receive(each)
    while await stage.route():
        pass
    await stage.prepare()
    assert await stage.rows(deliveries) == []


async def test_a_permission_that_is_not_accepted_is_named_and_once_it_is_it_goes_on(
    stage: Stage,
) -> None:
    await matched(stage)
    await stage.github.accept_permissions(stage.consuming, READ_ALONE)
    await stage.deliver()
    row = await one(stage)
    assert (row["state"], row["blocked_reason"]) == ("blocked", "no_access")
    assert row["reason"] == "permission_missing"
    await stage.github.accept_permissions(stage.consuming, WRITE)
    await stage.finish_run("build")
    await stage.flow()
    states = sorted(row["state"] for row in await stage.rows(deliveries))
    assert states == ["blocked", "dispatched"]


@pytest.mark.parametrize("end", ["provider", "consumer"])
@pytest.mark.parametrize("how", ["privatize", "publicize", "rename", "rename_account"])
async def test_who_may_see_it_and_what_it_is_called_changes_no_consent(
    stage: Stage, how: str, end: str
) -> None:
    await stage.serve()
    repository: Repository = getattr(stage, end)
    change = getattr(stage.github, how)
    if how.startswith("rename"):
        await change(repository if how == "rename" else repository.owner, "newly-named")
    else:
        repository.private = how == "publicize"
        await change(repository)
    await stage.finish_run("build")
    await stage.flow()
    assert (await one(stage))["state"] == "dispatched"


async def test_an_old_installation_webhook_of_an_uninstalled_app_gives_nothing(
    migrated_url: str,
) -> None:
    async with open_stage(migrated_url) as stage:
        await stage.serve()
        await stage.github.uninstall(stage.consuming)
        with stage.github.hold() as told:
            again = await stage.github.install(stage.app, stage.consumer.owner)
        await stage.listen()
        await stage.github.uninstall(again)
        await stage.listen()
        for each in told:
            await stage.receive(each)  # it comes last of all
        while await stage.route():
            pass
        await stage.finish_run("build")
        await stage.flow()
        assert (await one(stage))["blocked_reason"] == "consent"
        assert len(await stage.rows(runs)) == 1
