"""Which workflow a run is of, whatever its file is called."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.stage import RELEASE
from zekt_bot.db.tables import envelopes, inbox, runs
from zekt_bot.testing import payloads

if TYPE_CHECKING:
    from tests.stage import Stage

EVIL = f"{RELEASE}@evil.yml"


async def told(stage: Stage, path: str, workflow: dict[str, Any] | None) -> None:
    """GitHub's news of a finished run with this path, of this workflow."""
    run = await stage.finish_run("build")
    stage.held.clear()
    body = payloads.workflow_run(run, "completed", stage.providing)
    body["workflow_run"]["path"] = path
    body["workflow"] = workflow
    await stage.tell("workflow_run", body)
    await stage.route()


async def test_a_file_whose_name_begins_as_an_allowed_one_is_another_workflow(
    stage: Stage,
) -> None:
    await stage.serve()
    stage.github.add_workflow(stage.provider, EVIL, "Evil")
    run = await stage.github.start_run(stage.provider, EVIL)
    await run.start_job("build")
    await run.complete()
    await stage.prepare()
    row = await stage.row(runs)
    assert (row["workflow_path"], row["blocked_reason"]) == (EVIL, "not_allowed")
    assert await stage.rows(envelopes) == []


@pytest.mark.parametrize(
    "path",
    [
        RELEASE,
        f"{RELEASE}@refs/heads/main",
        f"aurora-labs/payments-api/{RELEASE}@main",
        f"Aurora-Labs/payments-api/{RELEASE}",
    ],
)
@pytest.mark.parametrize("workflow", [{"name": "Release", "path": RELEASE}, None])
async def test_neither_a_ref_nor_its_own_repository_is_part_of_the_path(
    stage: Stage, path: str, workflow: dict[str, Any] | None
) -> None:
    await stage.serve()
    await told(stage, path, workflow)
    assert (await stage.row(runs))["workflow_path"] == RELEASE


async def test_a_run_that_contradicts_its_workflow_is_set_aside(stage: Stage) -> None:
    await stage.serve()
    await told(stage, EVIL.replace("@", "-"), {"name": "Release", "path": RELEASE})
    row = await stage.row(inbox)
    assert (row["state"], row["reason"]) == (
        "set_aside",
        "workflow_run.path is not that of its workflow",
    )


@pytest.mark.parametrize("owner", ["aurora-labs/payments-api2", "mallory/payments-api"])
@pytest.mark.parametrize("workflow", [{"name": "Release", "path": RELEASE}, None])
async def test_a_required_workflow_of_another_repository_is_none_of_this_ones(
    stage: Stage, owner: str, workflow: dict[str, Any] | None
) -> None:
    await stage.serve()
    await told(stage, f"{owner}/{RELEASE}@refs/heads/main", workflow)
    assert (await stage.row(inbox))["state"] == "processed"
    stage.clock.advance(timedelta(seconds=2))
    assert await stage.aggregate() == {}
    row = await stage.row(runs)
    assert (row["workflow_path"], row["blocked_reason"]) == (f"{owner}/{RELEASE}", "not_allowed")
    assert await stage.rows(envelopes) == []
