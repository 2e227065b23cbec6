"""What happens at GitHub, and what Zekt does from then on: the table in docs/concepts/consent.md.

How news is heard: test_installations.py. Transfers: test_consent.py. The way back: test_lapses.py.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.operations.subscribing import ENDS
from tests.pipeline.sending import DISPATCHES, asked, matched, posts
from tests.stage import ME, SERVICE, Stage, open_stage
from zekt_bot.db import outgoing
from zekt_bot.db.tables import attempts, deliveries, runs
from zekt_bot.domain.subscriptions import Ordered
from zekt_bot.operations import pauses, repositories, services, subscription_lists
from zekt_bot.operations.installations import look_at
from zekt_bot.operations.ordering import make_ordered

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
    """A second later GitHub's people do it, and Zekt hears of it."""
    github = stage.github
    stage.clock.advance(timedelta(seconds=1))
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


async def give_back(stage: Stage, how: str, repository: Repository) -> None:
    """They think better of it, and Zekt hears of it."""
    github = stage.github
    own = stage.consuming if repository is stage.consumer else stage.providing
    if how == "uninstalled":
        await github.install(stage.app, repository.owner)
    elif how == "suspended":
        await github.unsuspend(own)
    elif how == "taken out":
        await github.add_repositories(own, repository)
    else:
        await github.unarchive(repository)
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
async def test_what_is_on_hold_is_blocked_at_once(stage: Stage, how: str) -> None:
    await matched(stage)
    await pauses.pause(stage.broker, ME, pauses.Target())
    assert await stage.deliver() == [None]
    await take_back(stage, how, stage.consumer)
    assert await stage.deliver() == [None]
    row = await one(stage)
    assert (row["state"], row["blocked_reason"], row["waits_for"]) == ("blocked", WAYS[how], None)
    await pauses.resume(stage.broker, ME, pauses.Target())
    assert (await stage.deliver(), posts(stage)) == ([], [])


async def test_what_is_on_hold_is_blocked_also_if_others_read_of_it_before_github_confirmed(
    stage: Stage,
) -> None:
    await matched(stage)
    await pauses.pause(stage.broker, ME, pauses.Target())
    await stage.deliver()
    stage.github.fail("GET", f"/app/installations/{stage.consuming.id}", status=502)
    await take_back(stage, "uninstalled", stage.consumer)
    await stage.broker.database.query(outgoing.load, [(await one(stage))["id"]], stage.kept)
    stage.clock.advance(timedelta(minutes=5))
    await stage.listen()
    await stage.deliver()
    assert (await one(stage))["blocked_reason"] == "consent"


@pytest.mark.parametrize("heard", [True, False])
async def test_what_waited_for_a_former_installation_is_not_sent_by_the_new_one(
    stage: Stage, *, heard: bool
) -> None:
    await matched(stage)
    stage.github.fail("POST", DISPATCHES, status=502)
    await stage.deliver()
    stage.clock.advance(timedelta(seconds=1))
    await stage.github.uninstall(stage.consuming)
    with stage.github.hold() as new:
        await stage.github.install(stage.app, stage.consumer.owner)
    former, stage.held[:] = list(stage.held), []
    for each in [*new, *(former if heard else [])]:
        await stage.receive(each)
        while await stage.route():
            pass
    stage.clock.advance(timedelta(minutes=1))
    while await stage.deliver():
        pass
    row = await one(stage)
    assert (row["state"], row["blocked_reason"]) == ("blocked", "withdrawn")


async def test_what_was_made_while_github_was_asked_was_made_before_it_answered(
    stage: Stage,
) -> None:
    await stage.serve()
    await pauses.pause(stage.broker, ME, pauses.Target())
    await stage.github.archive(stage.consumer)
    stage.held.clear()
    answers = asyncio.Event()
    stage.github.fail("GET", "/repositories/*", until=answers)
    looking = asyncio.create_task(look_at(stage.broker, stage.consuming.id, stage.consumer.id))
    await asked(stage, f"/repositories/{stage.consumer.id}")
    stage.clock.advance(timedelta(seconds=1))
    await stage.finish_run("build")
    await stage.flow()
    stage.clock.advance(timedelta(seconds=1))
    answers.set()
    await looking
    await give_back(stage, "archived", stage.consumer)
    await pauses.resume(stage.broker, ME, pauses.Target())
    while await stage.deliver():
        pass
    assert (await one(stage))["blocked_reason"] == "withdrawn"


@pytest.mark.parametrize("how", ["suspended", "taken out"])
async def test_what_stands_in_an_ordered_line_is_blocked_at_once(stage: Stage, how: str) -> None:
    await stage.serve()
    await make_ordered(stage.broker, ME, ENDS, Ordered(), force=True)
    for _ in range(3):
        await stage.finish_run("build")
        await stage.prepare()
    assert [row["waits_for"] for row in await stage.rows(deliveries)].count("sequence") == 2
    await take_back(stage, how, stage.consumer)
    assert await stage.deliver() == [None] * 3
    stands = [(row["state"], row["waits_for"]) for row in await stage.rows(deliveries)]
    assert (stands, posts(stage)) == ([("blocked", None)] * 3, [])


@pytest.mark.parametrize(
    ("how", "end", "held"),
    [
        ("uninstalled", "consumer", False),
        ("suspended", "consumer", True),
        ("taken out", "consumer", False),
        ("archived", "consumer", True),
        ("suspended", "provider", False),
        ("archived", "provider", True),
    ],
)
async def test_what_was_made_before_is_not_sent_though_consent_is_back_before_its_time(
    stage: Stage, how: str, end: str, held: bool
) -> None:
    await matched(stage)
    if held:
        await pauses.pause(stage.broker, ME, pauses.Target())
    else:
        stage.github.fail("POST", DISPATCHES, status=502)
    await stage.deliver()
    repository: Repository = getattr(stage, end)
    await take_back(stage, how, repository)
    await give_back(stage, how, repository)
    await pauses.resume(stage.broker, ME, pauses.Target())
    stage.clock.advance(timedelta(minutes=1))
    while await stage.deliver():
        pass
    row = await one(stage)
    assert (row["state"], row["blocked_reason"]) == ("blocked", "withdrawn")
    await stage.finish_run("build")
    await stage.flow()
    states = sorted(row["state"] for row in await stage.rows(deliveries))
    assert states == ["blocked", "dispatched"]


async def test_what_is_on_hold_for_a_consumer_that_its_people_disable_is_blocked(
    stage: Stage,
) -> None:
    await matched(stage)
    await pauses.pause(stage.broker, ME, pauses.Target())
    await stage.deliver()
    await repositories.disable(stage.broker, ME, stage.consumer.full_name, "consumer")
    await stage.deliver()
    assert (await one(stage))["blocked_reason"] == "not_approved"


async def test_of_one_that_is_enabled_again_at_once_the_rest_of_a_line_keeps_its_order(
    stage: Stage,
) -> None:
    await stage.serve()
    await make_ordered(stage.broker, ME, ENDS, Ordered(), force=True)
    for _ in range(2):
        await stage.finish_run("build")
        await stage.prepare()
        stage.clock.advance(timedelta(seconds=1))
    name = stage.consumer.full_name
    await repositories.disable(stage.broker, ME, name, "consumer")
    await repositories.enable(stage.broker, ME, name, "consumer")
    assert [one.kind if one else None for one in await stage.deliver()].count("dispatched") == 1
    assert len(await stage.deliver()) == 1
    in_order = sorted(await stage.rows(deliveries), key=lambda row: row["envelope"])
    sent = [one.client_payload["zekt"]["deliveryId"] for one in stage.github.dispatches]
    assert sent == [row["id"] for row in in_order]


@pytest.mark.parametrize("how", WAYS)
async def test_nothing_leaves_a_provider_without_consent(stage: Stage, how: str) -> None:
    await matched(stage)
    await take_back(stage, how, stage.provider)
    assert await stage.deliver() == [None]
    row = await one(stage)
    assert (row["state"], row["blocked_reason"]) == ("blocked", "consent")
    assert posts(stage) == []


@pytest.mark.parametrize("how", WAYS)
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
    assert {row["blocked_reason"] for row in await stage.rows(runs)} <= {None, "consent"}


async def test_a_permission_that_is_not_accepted_is_named_and_once_it_is_it_goes_on(
    stage: Stage,
) -> None:
    await matched(stage)
    await stage.github.accept_permissions(stage.consuming, READ_ALONE)
    await stage.deliver()
    row = await one(stage)
    assert (row["state"], row["blocked_reason"]) == ("blocked", "no_access")
    assert row["reason"] == "permission_missing"
    tried = len(posts(stage))
    await stage.listen()
    shown = await subscription_lists.show(stage.broker, ME, ENDS)
    assert (shown["service_rests"], shown["consumer_rests"]) == (None, "permission_missing")
    await stage.finish_run("build")
    await stage.flow()
    blocked = [row["blocked_reason"] for row in await stage.rows(deliveries)]
    assert sorted(blocked) == ["no_access", "permission_missing"]
    assert len(posts(stage)) == tried  # GitHub need not refuse it again
    await stage.github.accept_permissions(stage.consuming, WRITE)
    await stage.finish_run("build")
    await stage.flow()
    states = sorted(row["state"] for row in await stage.rows(deliveries))
    assert states == ["blocked", "blocked", "dispatched"]


async def test_a_provider_of_whose_runs_zekt_may_not_hear_rests(stage: Stage) -> None:
    await stage.serve()
    await stage.github.accept_permissions(stage.providing, {"contents": "write"})
    await stage.listen()
    assert (await services.show(stage.broker, ME, SERVICE))["rests"] == "permission_missing"
    shown = await subscription_lists.show(stage.broker, ME, ENDS)
    assert (shown["service_rests"], shown["consumer_rests"]) == ("permission_missing", None)


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
