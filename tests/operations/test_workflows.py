"""A provider's workflows as GitHub lists them, and what may be allowed of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stage import ME, RELEASE
from zekt_bot.db import workflows as rows_of
from zekt_bot.db.tables import audit
from zekt_bot.db.tables import repositories as mirrored
from zekt_bot.errors import Conflict, GitHubError, NotFound
from zekt_bot.operations import repositories, workflows

if TYPE_CHECKING:
    from tests.stage import Stage

NIGHTLY = ".github/workflows/nightly.yml"


async def listed(stage: Stage) -> dict[str, tuple[object, ...]]:
    rows = await workflows.list_workflows(stage.broker, ME, stage.provider.full_name)
    return {
        row["path"]: (row["name"], row["state"], row["allowed"], row["service"]) for row in rows
    }


async def test_a_list_tells_what_github_and_zekt_know(stage: Stage) -> None:
    await stage.publish()
    nightly = stage.github.add_workflow(stage.provider, NIGHTLY, "Nightly")
    stage.github.disable_workflow(nightly)
    to_come = ".github/workflows/to-come.yml"
    name = stage.provider.full_name
    await workflows.allow(stage.broker, ME, name, to_come, force=True)
    assert await listed(stage) == {
        NIGHTLY: ("Nightly", "disabled_manually", False, None),
        RELEASE: ("Release", "active", True, "aurora-labs/release"),
        to_come: (None, None, True, None),
    }


async def test_every_page_of_githubs_list_is_read(stage: Stage) -> None:
    await stage.publish()
    for number in range(150):
        stage.github.add_workflow(stage.provider, f"w{number:03}.yml")
    assert len(await listed(stage)) == 151
    pages = [r.query for r in stage.github.requests if r.path.endswith("/actions/workflows")]
    assert [page["page"] for page in pages[-2:]] == ["1", "2"]
    assert {page["per_page"] for page in pages} == {"100"}


async def test_what_github_does_not_list_is_not_allowed_without_force(stage: Stage) -> None:
    name = stage.provider.full_name
    await repositories.enable(stage.broker, ME, name)
    await (await stage.github.start_run(stage.provider, NIGHTLY)).complete()
    (gone,) = [one for one in stage.provider.workflows if one.path == NIGHTLY]
    stage.github.delete_workflow(gone)
    for path in (NIGHTLY, ".github/workflows/unheard-of.yml"):
        with pytest.raises(Conflict, match="--force"):
            await workflows.allow(stage.broker, ME, name, path)
        assert await workflows.allow(stage.broker, ME, name, path, force=True)


async def test_a_workflow_that_came_back_is_there_whichever_is_listed_first(stage: Stage) -> None:
    name = stage.provider.full_name
    await repositories.enable(stage.broker, ME, name)
    await (await stage.github.start_run(stage.provider, RELEASE)).complete()
    stage.github.delete_workflow(stage.provider.workflows[0])
    stage.github.add_workflow(stage.provider, RELEASE)
    for _ in range(2):
        stage.provider.workflows.reverse()
        assert (await listed(stage))[RELEASE][1] == "active"


async def test_a_disabled_workflow_may_be_allowed(stage: Stage) -> None:
    name = stage.provider.full_name
    await repositories.enable(stage.broker, ME, name)
    stage.github.disable_workflow(stage.provider.workflows[0])
    assert await workflows.allow(stage.broker, ME, name, RELEASE)


async def test_nothing_is_allowed_unseen_while_github_is_down(stage: Stage) -> None:
    name = stage.provider.full_name
    await repositories.enable(stage.broker, ME, name)
    stage.github.fail("GET", "*/actions/workflows", status=502, times=2)
    for attempt in (
        workflows.allow(stage.broker, ME, name, RELEASE),
        workflows.list_workflows(stage.broker, ME, name),
    ):
        with pytest.raises(GitHubError):
            await attempt
    assert await stage.broker.database.query(rows_of.of_repository, stage.provider.id) == []


async def test_only_a_provider_has_a_list(stage: Stage) -> None:
    await repositories.enable(stage.broker, ME, stage.consumer.full_name, "consumer")
    with pytest.raises(Conflict, match="zekt repositories enable"):
        await workflows.list_workflows(stage.broker, ME, stage.consumer.full_name)
    with pytest.raises(NotFound):
        await workflows.list_workflows(stage.broker, ME, "aurora-labs/unheard-of")


async def test_whoever_only_looks_writes_nothing(stage: Stage) -> None:
    await stage.publish()
    with stage.github.outage():
        await stage.github.rename(stage.provider, "renamed-unheard")
    before = [await stage.rows(table) for table in (audit, mirrored)]
    await workflows.list_workflows(stage.broker, ME, "aurora-labs/payments-api")
    with pytest.raises(NotFound):
        await workflows.list_workflows(stage.broker, ME, stage.provider.full_name)
    assert [await stage.rows(table) for table in (audit, mirrored)] == before
