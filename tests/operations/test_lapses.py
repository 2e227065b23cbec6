"""Consent taken back at GitHub: what rests, what comes back, and what is purged at last."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.stage import ME, SERVICE, Stage, open_stage
from zekt_bot.db import tables
from zekt_bot.db.tables import audit, deliveries, installations, repositories, runs, services
from zekt_bot.errors import Conflict
from zekt_bot.operations import lapses, subscription_lists
from zekt_bot.operations import repositories as repository_operations
from zekt_bot.operations import services as service_operations
from zekt_bot.operations.reconciliation import reconcile
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from zekt_bot.testing import Installation

_DAY = timedelta(days=1)


async def sent(stage: Stage) -> None:
    """A run that went all the way."""
    await stage.serve()
    await stage.finish_run("build")
    await stage.flow()


async def hear(stage: Stage) -> None:
    """Zekt hears what GitHub told."""
    await stage.take()
    while await stage.route():
        pass


def end(stage: Stage, name: str) -> Installation:
    return stage.providing if name == "provider" else stage.consuming


async def take_back(stage: Stage, how: str, which: str) -> None:
    """At one end, and Zekt hears of it."""
    github = stage.github
    repository = stage.provider if which == "provider" else stage.consumer
    if how == "not_installed":
        await github.uninstall(end(stage, which))
    elif how == "app_suspended":
        await github.suspend(end(stage, which))
    elif how == "taken out":
        await github.remove_repositories(end(stage, which), repository)
    elif how == "deleted":
        await github.delete_repository(repository)
    else:
        await github.archive(repository)
    await hear(stage)


async def give_back(stage: Stage, how: str, which: str) -> None:
    github = stage.github
    repository = stage.provider if which == "provider" else stage.consumer
    if how == "not_installed":
        anew = await github.install(stage.app, repository.owner)
        setattr(stage, "providing" if which == "provider" else "consuming", anew)
    elif how == "app_suspended":
        await github.unsuspend(end(stage, which))
    elif how == "taken out":
        await github.add_repositories(end(stage, which), repository)
    else:
        await github.unarchive(repository)
    await hear(stage)


async def count(stage: Stage, *names: str) -> dict[str, int]:
    return {name: len(await stage.rows(getattr(tables, name))) for name in names}


async def shown(stage: Stage) -> dict[str, Any]:
    ends = Ends(SERVICE, stage.consumer.full_name)
    return await subscription_lists.show(stage.broker, ME, ends)


HOW = ["not_installed", "app_suspended", "archived"]


@pytest.mark.parametrize("how", HOW)
async def test_what_rests_says_why_at_either_end(stage: Stage, how: str) -> None:
    await stage.serve()
    assert (await shown(stage))["service_rests"] is None
    await take_back(stage, how, "provider")
    held = await shown(stage)
    assert (held["service_rests"], held["consumer_rests"]) == (how, None)
    assert (await service_operations.show(stage.broker, ME, SERVICE))["rests"] == how
    found = await repository_operations.show(stage.broker, ME, stage.provider.full_name)
    assert found["obstacle"] == how
    await give_back(stage, how, "provider")
    await take_back(stage, how, "consumer")
    (held,) = await subscription_lists.list_subscriptions(
        stage.broker, ME, subscription_lists.Which()
    )
    assert (held["service_rests"], held["consumer_rests"]) == (None, how)


WAYS_BACK = [
    *((how, which) for how in HOW for which in ("provider", "consumer")),
    ("taken out", "consumer"),
]


@pytest.mark.parametrize(("how", "which"), WAYS_BACK)
async def test_within_thirty_days_it_comes_back_as_it_was(
    stage: Stage, how: str, which: str
) -> None:
    await sent(stage)
    await take_back(stage, how, which)
    assert await lapses.purge(stage.broker) == 0
    stage.clock.advance(29 * _DAY)
    assert await lapses.purge(stage.broker) == 0
    await give_back(stage, how, which)
    assert await lapses.purge(stage.broker) == 0
    stage.clock.advance(10 * _DAY)
    assert await lapses.purge(stage.broker) == 0
    await stage.finish_run("build")
    await stage.flow()
    assert [row["state"] for row in await stage.rows(deliveries)] == ["dispatched"] * 2


async def lapse(stage: Stage, how: str, which: str) -> None:
    """Consent is gone until the last hours."""
    await take_back(stage, how, which)
    await lapses.purge(stage.broker)
    stage.clock.advance(29 * _DAY + timedelta(hours=20))
    assert await lapses.purge(stage.broker) == 0


async def begin_anew(stage: Stage) -> None:
    """Consent was back, is gone again, and nobody had looked in between."""
    for days in (timedelta(hours=5), 29 * _DAY):
        stage.clock.advance(days)
        assert await lapses.purge(stage.broker) == 0
    stage.clock.advance(2 * _DAY)
    assert await lapses.purge(stage.broker) == 1


@pytest.mark.parametrize(("how", "which"), WAYS_BACK)
async def test_back_for_a_moment_its_days_begin_anew(stage: Stage, how: str, which: str) -> None:
    await sent(stage)
    await lapse(stage, how, which)
    await give_back(stage, how, which)
    await take_back(stage, how, which)
    await begin_anew(stage)


async def test_so_they_do_for_what_its_owner_had_disabled(stage: Stage) -> None:
    await sent(stage)
    await repository_operations.disable(stage.broker, ME, stage.provider.full_name)
    await lapse(stage, "taken out", "provider")
    await give_back(stage, "taken out", "provider")
    await take_back(stage, "taken out", "provider")
    await begin_anew(stage)


async def test_so_they_do_if_it_came_back_unheard(stage: Stage) -> None:
    await sent(stage)
    await lapse(stage, "app_suspended", "provider")
    await stage.github.unsuspend(stage.providing)
    stage.held.clear()
    await reconcile(stage.broker)
    await take_back(stage, "app_suspended", "provider")
    await begin_anew(stage)


async def test_so_they_do_if_a_transfer_brought_it_back(stage: Stage) -> None:
    await sent(stage)
    owner = stage.provider.owner
    await stage.github.transfer(stage.provider, stage.github.account("elsewhere"))
    await hear(stage)
    await lapses.purge(stage.broker)
    stage.clock.advance(29 * _DAY + timedelta(hours=20))
    await stage.github.transfer(stage.provider, owner)
    await hear(stage)
    await take_back(stage, "taken out", "provider")
    await begin_anew(stage)


@pytest.mark.parametrize("how", [*HOW, "taken out", "deleted"])
async def test_after_thirty_days_all_of_it_is_purged(stage: Stage, how: str) -> None:
    await sent(stage)
    await take_back(stage, how, "provider")
    await lapses.purge(stage.broker)
    stage.clock.advance(31 * _DAY)
    assert await lapses.purge(stage.broker) == 1
    left = await count(stage, "runs", "jobs", "envelopes", "deliveries", "attempts", "messages")
    assert set(left.values()) == {0}
    assert await count(stage, "services", "subscriptions", "allowed_workflows") == {
        "services": 0,
        "subscriptions": 0,
        "allowed_workflows": 0,
    }
    own = [r for r in await stage.rows(repositories) if r["id"] == stage.provider.id]
    assert all((r["provider_enabled_at"], r["lapsed_at"]) == (None, None) for r in own)
    (told,) = [r for r in await stage.rows(audit) if r["verb"] == "zekt:repository:purged"]
    assert (told["repository_id"], told["actor"]) == (stage.provider.id, "zekt")
    assert await lapses.purge(stage.broker) == 0
    if how == "deleted":
        return
    await give_back(stage, how, "provider")
    await stage.finish_run("build")
    await stage.flow()
    assert await stage.rows(runs) == []  # it must be enabled anew


async def test_of_a_consumer_only_what_came_to_it_goes(stage: Stage) -> None:
    other = stage.github.repository(stage.github.account("basalt-inc"), "pipelines")
    await stage.github.install(stage.app, other.owner)
    await stage.serve()
    await stage.subscribe(other)
    await stage.finish_run("build")
    await stage.flow()
    await take_back(stage, "not_installed", "consumer")
    await lapses.purge(stage.broker)
    stage.clock.advance(31 * _DAY)
    assert await lapses.purge(stage.broker) == 1
    (left,) = await stage.rows(deliveries)
    assert left["target_repository_id"] == other.id
    assert await count(stage, "services", "subscriptions", "runs") == {
        "services": 1,
        "subscriptions": 1,
        "runs": 1,
    }


async def test_names_of_what_takes_no_part_go_with_their_installation(stage: Stage) -> None:
    await sent(stage)
    await take_back(stage, "not_installed", "consumer")
    await lapses.purge(stage.broker)
    stage.clock.advance(31 * _DAY)
    await lapses.purge(stage.broker)
    stage.clock.advance(31 * _DAY)
    await lapses.purge(stage.broker)
    names = {row["full_name"] for row in await stage.rows(repositories)}
    assert names == {stage.provider.full_name}
    assert [row["id"] for row in await stage.rows(installations)] == [stage.providing.id]


async def test_a_purge_that_was_cut_off_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sent(stage)
    await take_back(stage, "app_suspended", "provider")
    await lapses.purge(stage.broker)
    stage.clock.advance(31 * _DAY)

    await _dying(stage, monkeypatch)
    assert len(await stage.rows(services)) == 1
    await give_back(stage, "app_suspended", "provider")
    assert await lapses.purge(stage.broker) == 1  # it had ended, and would be half there
    assert await stage.rows(services) == []


async def _dying(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The purge of the provider begins, and its process ends before all is gone."""

    def die(*_: object) -> None:
        raise RuntimeError("the process ended here")

    with monkeypatch.context() as patched:
        patched.setattr("zekt_bot.db.lapses.forget", die)
        with pytest.raises(RuntimeError):
            await lapses.purge(stage.broker)


@pytest.mark.parametrize("which", ["provider", "consumer"])
async def test_while_it_is_purged_it_cannot_begin_anew_and_afterwards_it_can(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    await sent(stage)
    await take_back(stage, "app_suspended", which)
    await lapses.purge(stage.broker)
    stage.clock.advance(31 * _DAY)
    await _dying(stage, monkeypatch)
    await give_back(stage, "app_suspended", which)
    with pytest.raises(Conflict, match="deleted"):
        await (stage.publish() if which == "provider" else stage.subscribe())
    assert await lapses.purge(stage.broker) == 1
    await (stage.serve() if which == "provider" else stage.subscribe())
    await lapses.purge(stage.broker)
    await stage.finish_run("build")
    await stage.flow()
    (left,) = await stage.rows(deliveries)
    assert left["state"] == "dispatched"


async def test_a_service_that_is_purged_is_asked_for_by_nobody(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.publish()
    await take_back(stage, "app_suspended", "provider")
    await lapses.purge(stage.broker)
    stage.clock.advance(31 * _DAY)
    await _dying(stage, monkeypatch)
    await give_back(stage, "app_suspended", "provider")
    with pytest.raises(Conflict, match="deleted"):
        await stage.subscribe()


async def test_what_its_owner_disabled_stays_once_consent_is_back(
    stage: Stage,
) -> None:
    await sent(stage)
    await take_back(stage, "archived", "provider")
    await lapses.purge(stage.broker)
    await repository_operations.disable(stage.broker, ME, stage.provider.full_name)
    await give_back(stage, "archived", "provider")
    await lapses.purge(stage.broker)
    stage.clock.advance(31 * _DAY)
    assert await lapses.purge(stage.broker) == 0
    assert len(await stage.rows(services)) == 1


async def test_what_its_owner_had_disabled_goes_too_when_consent_does(stage: Stage) -> None:
    await sent(stage)
    await repository_operations.disable(stage.broker, ME, stage.provider.full_name)
    await take_back(stage, "not_installed", "provider")
    await lapses.purge(stage.broker)
    stage.clock.advance(31 * _DAY)
    assert await lapses.purge(stage.broker) == 1
    left = await count(stage, "services", "subscriptions", "allowed_workflows", "runs")
    assert set(left.values()) == {0}


async def test_it_stops_when_told_to(stage: Stage) -> None:
    await sent(stage)
    await take_back(stage, "app_suspended", "provider")
    await lapses.purge(stage.broker)
    stage.clock.advance(31 * _DAY)
    assert await lapses.purge(stage.broker, lambda: True) == 0
    assert len(await stage.rows(services)) == 1


async def test_nothing_is_purged_where_the_setting_says_so(migrated_url: str) -> None:
    async with open_stage(migrated_url, withdrawn_days=0) as stage:
        await sent(stage)
        await take_back(stage, "app_suspended", "provider")
        await lapses.purge(stage.broker)
        stage.clock.advance(400 * _DAY)
        assert await lapses.purge(stage.broker) == 0
        assert len(await stage.rows(services)) == 1
