"""Messages that are not taken: why, what their sender hears, and what their provider is shown."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.operations.messaging import PROVIDER, SECRET, TOKEN, TYPE, audited, enabled, stored
from tests.stage import ME, RELEASE, SERVICE
from zekt_bot import Refusal, hookimpl
from zekt_bot.db.tables import refused_messages, runs
from zekt_bot.domain.access import Person, WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.errors import (
    AccessDenied,
    MessageRefused,
    NotFound,
)
from zekt_bot.operations import (
    accounts,
    erasure,
    message_lists,
    messages,
    repositories,
    retention,
    services,
)
from zekt_bot.plugins.registry import Plugin

if TYPE_CHECKING:
    from tests.stage import Stage


async def refused(stage: Stage, run: WorkflowRun) -> str:
    """The one reason that the provider is shown."""
    (row,) = await message_lists.list_refused(stage.broker, ME)
    assert (row["full_name"], row["event_type"], row["size"]) == (PROVIDER, TYPE, len(SECRET))
    assert (row["run_id"], row["workflow_path"]) == (run.key.run_id, run.workflow_path)
    assert await stored(stage) == []
    reason: str = row["reason"]
    return reason


async def test_a_repository_that_nobody_knows_leaves_no_trace(stage: Stage) -> None:
    run = WorkflowRun(RunKey(999, 7, 1), RELEASE)
    with pytest.raises(NotFound, match="zekt repositories enable"):
        await messages.store(stage.broker, run, TYPE, SECRET)
    assert await stage.rows(refused_messages) == []
    assert await stage.rows(runs) == []


async def test_what_nobody_takes_is_not_looked_at(stage: Stage) -> None:
    stranger = WorkflowRun(RunKey(999, 7, 1), RELEASE)
    for body in (b"[" * 65 + b"]" * 65, b"{", b'"' + b"x" * 524_288 + b'"'):
        with pytest.raises(NotFound):
            await messages.store(stage.broker, stranger, TYPE, body)


async def test_a_repository_that_provides_nothing_has_no_messages(stage: Stage) -> None:
    run = await enabled(stage)
    await repositories.disable(stage.broker, ME, PROVIDER)
    with pytest.raises(NotFound, match=f"zekt repositories enable {PROVIDER}"):
        await messages.store(stage.broker, run, TYPE, SECRET)
    assert await refused(stage, run) == "not_enabled"


@pytest.mark.parametrize("path", [None, ".github/workflows/other.yml", "Release"])
async def test_a_workflow_that_is_not_on_the_allow_list(stage: Stage, path: str | None) -> None:
    run = WorkflowRun((await enabled(stage)).key, path)
    with pytest.raises(AccessDenied, match="allow-list"):
        await messages.store(stage.broker, run, TYPE, SECRET)
    assert await refused(stage, run) == "not_allowed"


@pytest.mark.parametrize(
    ("reason", "action"), [("app_suspended", "suspend"), ("not_installed", "uninstall")]
)
async def test_without_the_app(stage: Stage, reason: str, action: str) -> None:
    run = await enabled(stage)
    await getattr(stage.github, action)(stage.providing)
    await stage.listen()
    with pytest.raises(AccessDenied, match="App is not installed"):
        await messages.store(stage.broker, run, TYPE, SECRET)
    assert await refused(stage, run) == reason


async def test_of_an_account_that_is_shut_out_nothing_is_noted(stage: Stage) -> None:
    run = await enabled(stage)
    await accounts.block(stage.broker, ME, "aurora-labs")
    with pytest.raises(NotFound):
        await messages.store(stage.broker, run, TYPE, SECRET)
    assert await stage.rows(refused_messages) == []


async def test_refusals_go_by_age_and_with_their_account(stage: Stage) -> None:
    run = await enabled(stage)
    for path in (None, ".github/workflows/other.yml"):
        with pytest.raises(AccessDenied):
            await messages.store(stage.broker, WorkflowRun(run.key, path), TYPE, SECRET)
        assert len(await stage.rows(refused_messages)) == 1
        if path is None:
            stage.clock.advance(timedelta(days=29))
            await retention.purge(stage.broker, lambda: False)
            assert len(await stage.rows(refused_messages)) == 1
            stage.clock.advance(timedelta(days=2))
            await retention.purge(stage.broker, lambda: False)
            assert await stage.rows(refused_messages) == []
    await erasure.erase(stage.broker, ME, "aurora-labs")
    assert await stage.rows(refused_messages) == []


async def test_the_same_refusal_of_a_run_is_one_row_and_one_audit_entry(stage: Stage) -> None:
    run = WorkflowRun((await enabled(stage)).key, None)
    for _ in range(3):
        with pytest.raises(AccessDenied):
            await messages.store(stage.broker, run, TYPE, SECRET)
    (row,) = await stage.rows(refused_messages)
    assert row["times"] == 3
    (entry,) = await audited(stage, "run:message:refused")
    assert (entry["repository_id"], entry["actor"]) == (
        stage.provider.id,
        f"run:{stage.provider.id}",
    )


async def test_people_see_the_refusals_of_what_they_manage(stage: Stage) -> None:
    stranger = Person(5, "mona")
    with pytest.raises(AccessDenied):
        await message_lists.list_refused(stage.broker, stranger)
    with pytest.raises(AccessDenied):
        await message_lists.list_refused(stage.broker, await enabled(stage))


class Refuses:
    @hookimpl
    def zekt_accept_message(self) -> Refusal:
        return Refusal("no_thanks")


async def test_what_a_plugin_refuses_is_shown_too(stage: Stage) -> None:
    run = await enabled(stage)
    stage.broker.plugins.registry.register(Refuses(), Plugin("refusing", origin="built-in"))
    with pytest.raises(MessageRefused, match="no_thanks"):
        await messages.store(stage.broker, run, TYPE, SECRET)
    assert await refused(stage, run) == "no_thanks"


async def test_a_message_that_is_refused_is_told_to_the_audit(stage: Stage) -> None:
    await stage.serve("*")
    run = await stage.finish_run("build")
    await stage.listen()
    await services.edit(stage.broker, ME, SERVICE, {"secrets": "refuse"})
    with pytest.raises(MessageRefused, match="github_token at the root"):
        await stage.post(run, orjson.dumps(TOKEN))
    (entry,) = await audited(stage, "run:message:refused")
    assert entry["details"] == {"plugin": "guard", "reason": "secret_found"}
    assert entry["repository_id"] == stage.provider.id
    assert await stored(stage) == []
