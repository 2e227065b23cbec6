"""A service rests while GitHub has not its workflow, and says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from tests.stage import ME, RELEASE, SERVICE
from zekt_bot.db import services as rows_of
from zekt_bot.db import tables
from zekt_bot.domain.catalog import Profile
from zekt_bot.operations import repositories, resting_services, services, workflows
from zekt_bot.operations.services import Publication

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot.testing import Workflow


async def rests(stage: Stage) -> str | None:
    """What `show` says, which is what lists say too."""
    shown = await services.show(stage.broker, ME, SERVICE)
    (row,) = await services.list_services(stage.broker, ME)
    (listed,) = [
        each
        for each in await workflows.list_workflows(stage.broker, ME, stage.provider.full_name)
        if each["path"] == RELEASE
    ]
    assert shown["rests"] == row["rests"] == listed["rests"]
    found: str | None = shown["rests"]
    return found


async def verbs(stage: Stage) -> list[str]:
    statement = select(tables.audit.c.verb).where(tables.audit.c.verb.like("zekt:service:%"))
    ordered = statement.order_by(tables.audit.c.seq)
    return await stage.broker.database.query(lambda c: list(c.execute(ordered).scalars()))


def release(stage: Stage) -> Workflow:
    (found,) = [one for one in stage.provider.workflows if one.path == RELEASE]
    return found


async def version(stage: Stage) -> int:
    return int((await stage.row(tables.services))["version"])


async def test_nothing_changes_where_all_is_well(stage: Stage) -> None:
    assert await resting_services.look(stage.broker) == 0
    await stage.publish()
    before = await version(stage)
    assert await resting_services.look(stage.broker) == 0
    assert (await rests(stage), await version(stage)) == (None, before)


@pytest.mark.parametrize("how", ["delete", "rename", "disabled_manually", "disabled_inactivity"])
async def test_a_service_rests_while_its_workflow_is_gone(stage: Stage, how: str) -> None:
    await stage.publish()
    before, workflow = await version(stage), release(stage)
    if how == "delete":
        stage.github.delete_workflow(workflow)
    elif how == "rename":
        stage.github.rename_workflow(workflow, "renamed.yml")
    else:
        stage.github.disable_workflow(workflow, how)  # type: ignore[arg-type]
    assert await resting_services.look(stage.broker) == 1
    assert await resting_services.look(stage.broker) == 0
    assert (await version(stage), await verbs(stage)) == (before + 1, ["zekt:service:rested"])
    if workflow in stage.provider.workflows:
        assert await rests(stage) == resting_services.GONE
        stage.github.enable_workflow(workflow)
    else:
        stage.github.add_workflow(stage.provider, RELEASE)
    assert await resting_services.look(stage.broker) == 1
    assert (await rests(stage), await version(stage)) == (None, before + 2)
    assert await verbs(stage) == ["zekt:service:rested", "zekt:service:woken"]


async def test_a_run_of_its_path_wakes_a_service(stage: Stage) -> None:
    await stage.serve()
    stage.github.disable_workflow(release(stage))
    assert await resting_services.look(stage.broker) == 1
    stage.github.enable_workflow(release(stage))
    run = await stage.finish_run("build")
    assert [outcome and outcome.kind for outcome in await stage.flow()] == ["dispatched"]
    assert await rests(stage) is None
    assert await verbs(stage) == ["zekt:service:rested", "zekt:service:woken"]
    await gone_again(stage)
    await run.stage.announce_run(run, "completed")  # old news of a run that is known
    await stage.listen()
    assert await rests(stage) == resting_services.GONE


async def gone_again(stage: Stage) -> None:
    stage.github.disable_workflow(release(stage))
    assert await resting_services.look(stage.broker) == 1


async def test_another_workflows_run_wakes_nobody(stage: Stage) -> None:
    await stage.publish()
    await gone_again(stage)
    other = await stage.github.start_run(stage.provider, "other.yml")
    await other.complete()
    await stage.listen()
    assert await rests(stage) == resting_services.GONE


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_where_github_does_not_say_nothing_changes(stage: Stage, status: int) -> None:
    await stage.publish()
    stage.github.disable_workflow(release(stage))
    stage.github.fail("GET", "*/actions/workflows", status=status)
    assert await resting_services.look(stage.broker) == 0
    assert await rests(stage) is None


async def test_github_that_is_down_is_not_asked_for_the_rest(stage: Stage) -> None:
    await many(stage, 20)
    before = len(stage.github.requests)
    stage.github.fail("GET", "*/actions/workflows", reset=True, times=100)
    assert await resting_services.look(stage.broker) == 0
    assert len(stage.github.requests) - before < 20


@pytest.mark.parametrize("how", ["suspended", "removed"])
async def test_one_installation_that_cannot_be_asked_holds_up_no_other(
    stage: Stage, how: str
) -> None:
    await stage.publish()
    other = stage.consumer.full_name
    gone = stage.github.add_workflow(stage.consumer, RELEASE)
    await repositories.enable(stage.broker, ME, other)
    await workflows.allow(stage.broker, ME, other, RELEASE)
    await services.publish(stage.broker, ME, other, Publication(RELEASE, "other", Profile()))
    stage.github.disable_workflow(gone)
    await (stage.github.suspend if how == "suspended" else stage.github.uninstall)(stage.providing)
    assert await resting_services.look(stage.broker) == 1


async def test_all_pages_are_asked_and_a_stop_is_heard(stage: Stage) -> None:
    await many(stage, 12)
    for repository in stage.github.core.world.repositories.values():
        for workflow in repository.workflows:
            stage.github.disable_workflow(workflow)
    assert await resting_services.look(stage.broker, lambda: True) == 0
    stopped_after = sum(row["rests"] is not None for row in await stage.rows(tables.services))
    assert 0 < stopped_after < 12
    assert await resting_services.look(stage.broker) == 12 - stopped_after


async def many(stage: Stage, count: int) -> None:
    """Published services of so many repositories."""
    for number in range(count):
        repository = stage.github.repository(stage.provider.owner, f"r{number}")
        stage.github.add_workflow(repository, RELEASE)
        await repositories.enable(stage.broker, ME, repository.full_name)
        await workflows.allow(stage.broker, ME, repository.full_name, RELEASE)
        wanted = Publication(RELEASE, f"release-{number}", Profile())
        await services.publish(stage.broker, ME, repository.full_name, wanted)


async def test_where_the_app_is_not_active_nobody_is_asked(stage: Stage) -> None:
    await stage.publish()
    await stage.github.suspend(stage.providing)
    await stage.listen()
    before = len(stage.github.requests)
    assert await resting_services.look(stage.broker) == 0
    assert len(stage.github.requests) == before


async def test_a_service_that_changed_meanwhile_is_left_for_the_next_time(stage: Stage) -> None:
    made = await stage.publish()
    stage.github.disable_workflow(release(stage))
    asked = len(stage.github.requests)
    free = asyncio.Event()
    stage.github.fail("GET", "*/actions/workflows", until=free)
    looking = asyncio.create_task(resting_services.look(stage.broker))
    while not any(each.path.endswith("/workflows") for each in stage.github.requests[asked:]):
        await asyncio.sleep(0.01)
    await stage.broker.database.write(_edit, made.id)
    free.set()
    assert await looking == 0
    assert await rests(stage) is None
    assert await resting_services.look(stage.broker) == 1


def _edit(connection: Connection, ids: Sequence[str]) -> list[None]:
    for each in ids:
        rows_of.change(connection, each, title="Release")
    return [None for _ in ids]
