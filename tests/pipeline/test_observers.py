"""What plugins hear of after a commit: GitHub's events and the audit, each from its own queue."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import weakref
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.db.rows import until
from tests.stage import LEASE, open_stage
from zekt_bot import hookimpl
from zekt_bot.db import audit
from zekt_bot.db.tables import inbox, runs
from zekt_bot.domain.audit import Entry
from zekt_bot.domain.webhooks import GitHubEvent, Receipt
from zekt_bot.plugins import Plugin, Plugins, observers
from zekt_bot.plugins.observers import News, Observers
from zekt_bot.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.stage import Stage

HEARING = """
from zekt_bot import hookimpl

HEARD = []

@hookimpl
def zekt_github_events():
    return {events!r}

@hookimpl
async def zekt_github_event(event, client):
    answer = await client.get(f"/repositories/{{event.repository_id}}")
    HEARD.append((event.name, event.action, event.payload, answer.status))
    event.payload.clear()
"""
HANDLING = """
from octomachinery.routing import process_event, process_event_actions
from octomachinery.routing.decorators import process_webhook_payload
from octomachinery.runtime.context import RUNTIME_CONTEXT

HEARD = []

@process_event("workflow_run")
async def any_run(event):
    client = RUNTIME_CONTEXT.app_installation_client
    where = {"id": event.payload["repository"]["id"]}
    found = await client.getitem("/repositories/{id}", url_vars=where)
    HEARD.append(("any", str(event.delivery_id), found["full_name"]))

@process_event_actions("workflow_run", {"completed"})
@process_webhook_payload
async def completed_run(*, action, workflow_run, **rest):
    HEARD.append((action, RUNTIME_CONTEXT.github_event.name, RUNTIME_CONTEXT.IS_GITHUB_APP))

@process_event("workflow_run")
async def broken(event):
    raise SystemExit(1)
"""


@asynccontextmanager
async def hearing(url: str, folder: Path, code: str, **settings: Any) -> AsyncIterator[Any]:
    """A stage whose plugin `ears` is this code, and what it heard."""
    (folder / "ears.py").write_text(code)
    async with open_stage(url, plugins_dir=folder, **settings) as stage:
        yield stage, sys.modules["zekt_plugin_ears"].HEARD


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "mine"
    found.mkdir()
    return found


async def test_an_event_is_heard_once_zekt_is_done_with_it(
    migrated_sqlite: str, folder: Path
) -> None:
    code = HEARING.format(events=["workflow_run"])
    async with hearing(migrated_sqlite, folder, code) as (stage, heard):
        await stage.serve()
        await stage.finish_run("build")
        await stage.take()
        assert heard == []
        await stage.route()

        async def told() -> bool:
            return len(heard) == 3

        await until(told)
        said = {(name, action, status) for name, action, _, status in heard}
        actions = ("requested", "in_progress", "completed")
        assert said == {("workflow_run", action, 200) for action in actions}
        assert {row["state"] for row in await stage.rows(inbox)} == {"processed"}


class Pausing:
    """The machine stands still in the middle of a step, for as long as a lease lasts."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @hookimpl
    def zekt_audit_details(self, entry: Entry) -> None:
        if entry.verb == "github:run:completed":
            self.stage.clock.advance(LEASE)


async def test_what_another_worker_may_have_told_is_not_told_again(
    migrated_sqlite: str, folder: Path
) -> None:
    code = HEARING.format(events=["workflow_run"])
    async with hearing(migrated_sqlite, folder, code) as (stage, heard):
        await stage.serve()
        stage.broker.plugins.registry.register(Pausing(stage), Plugin("p", origin="built-in"))
        await stage.finish_run()
        await stage.take("workflow_run")
        await stage.route()
        await stage.broker.plugins.observers.close(timedelta(seconds=60))
        assert {row["state"] for row in await stage.rows(inbox)} == {"processed"}
        assert "completed" not in [action for _, action, _, _ in heard]


async def test_octomachinerys_handlers_hear_with_their_context(
    migrated_sqlite: str, folder: Path
) -> None:
    async with hearing(migrated_sqlite, folder, HANDLING) as (stage, heard):
        await stage.serve()
        await stage.finish_run()
        guids = [sent.guid for sent in stage.held]
        await stage.take()
        with capture_logs() as logs:
            await stage.route()

            async def told() -> bool:
                return len(heard) == 4

            await until(told)
            await stage.broker.plugins.observers.close(timedelta(seconds=5))
        assert heard.count(("completed", "workflow_run", True)) == 1
        names = {one[2] for one in heard if one[0] == "any"}
        assert names == {stage.provider.full_name}
        assert len([one for one in heard if one[0] == "any"]) == len(guids)
        failed = [line for line in logs if line["event"] == "plugin.failed"]
        assert {(line["plugin"], line["hook"]) for line in failed} == {("ears", "broken")}


STAR = {"action": "created", "repository": {"id": 1}, "installation": {"id": 7}}


@pytest.mark.parametrize("observe_all", [False, True])
async def test_of_a_repository_that_is_enabled_for_nothing_only_if_the_operator_says_so(
    migrated_sqlite: str, folder: Path, observe_all: bool
) -> None:
    code = HEARING.format(events=["star", "workflow_run"])
    opened = hearing(migrated_sqlite, folder, code, observe_all=observe_all)
    async with opened as (stage, _):
        owner = {"id": stage.provider.owner.id, "login": stage.provider.owner.login}
        repository = {"id": stage.provider.id, "owner": owner}
        expected = Receipt() if observe_all else Receipt(ignored="repository_not_enabled")
        assert await stage.tell("star", {**STAR, "repository": repository}) == expected
        await stage.finish_run()
        assert set(await stage.take("workflow_run")) == {expected}
        await stage.route()
        assert await stage.rows(runs) == []  # heard, but none of the broker's


async def test_an_event_that_nobody_wants_is_not_stored(stage: Stage) -> None:
    assert await stage.tell("star", STAR) == Receipt(ignored="event_not_handled")


async def test_of_an_enabled_repository_a_plugins_event_is_stored_from_admitted_accounts_alone(
    migrated_sqlite: str, folder: Path
) -> None:
    code = HEARING.format(events=["star"])
    opened = hearing(migrated_sqlite, folder, code, allowed_accounts=("aurora-labs",))
    async with opened as (stage, heard):
        await stage.publish()
        owner = {"id": stage.provider.owner.id, "login": "aurora-labs"}
        ours = {"id": stage.provider.id, "owner": owner}
        body = {**STAR, "repository": ours, "installation": {"id": stage.providing.id}}
        assert await stage.tell("star", body) == Receipt()
        stranger = {"id": 5, "owner": {"id": 99, "login": "stranger"}}
        assert await stage.tell("star", {**STAR, "repository": stranger}) == Receipt(
            ignored="account_not_admitted"
        )
        await stage.route()

        async def told() -> bool:
            return len(heard) == 1

        await until(told)


class Auditing:
    """Keeps what it hears of."""

    def __init__(self) -> None:
        self.verbs: list[str] = []

    @hookimpl
    async def zekt_audited(self, entry: Entry) -> None:
        self.verbs.append(entry.verb)


async def test_audit_entries_are_heard_of_after_their_commit(stage: Stage) -> None:
    auditing = Auditing()
    stage.broker.plugins.register(auditing, "auditing")
    await stage.serve()
    await stage.broker.plugins.observers.close(timedelta(seconds=5))
    assert "person:subscription:approved" in auditing.verbs

    def broken(connection: Any, rows: Any) -> list[None]:
        audit.record(connection, Entry("zekt:thing:done", "zekt"))
        raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        await stage.broker.database.write(broken, None)
    await stage.broker.plugins.observers.close(timedelta(seconds=5))
    assert "zekt:thing:done" not in auditing.verbs


async def told(heard: list[int], number: int) -> None:
    heard.append(number)


async def test_a_flood_drops_the_oldest_and_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "MOST_WAITING", 10)
    queues, heard = Observers(), list[int]()
    with capture_logs() as logs:
        for number in range(25):
            queues.put("mine", News("h", partial(told, heard, number)))
        await queues.close(timedelta(seconds=5))
    assert heard == list(range(15, 25))
    dropped = [line["count"] for line in logs if line["event"] == "plugin.news_dropped"]
    assert dropped == [1, 15]


async def test_what_is_too_much_to_hold_is_dropped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observers, "MOST_BYTES", 100)
    queues, heard = Observers(), list[int]()
    for number in range(5):
        queues.put("mine", News("h", partial(told, heard, number), 40))
    await queues.close(timedelta(seconds=5))
    assert heard == [3, 4]


async def test_one_that_fails_or_hangs_is_logged_and_holds_up_only_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(observers, "LIMIT", timedelta(milliseconds=20))
    queues, heard = Observers(), list[int]()

    async def fail() -> None:
        raise asyncio.CancelledError

    with capture_logs() as logs:
        queues.put("bad", News("h", fail))
        queues.put("bad", News("h", lambda: asyncio.sleep(20)))
        queues.put("bad", News("h", lambda: told(heard, 1)))
        queues.put("good", News("h", lambda: told(heard, 2)))
        await queues.close(timedelta(seconds=5))
    assert heard == [2, 1]
    assert [line["event"] for line in logs] == ["plugin.failed", "plugin.took_too_long"]


async def test_at_the_end_what_waits_has_the_time_that_is_left() -> None:
    queues, heard = Observers(), list[int]()
    with capture_logs() as logs:
        queues.put("mine", News("h", lambda: asyncio.sleep(20)))
        queues.put("mine", News("h", lambda: told(heard, 1)))
        await queues.close(timedelta(milliseconds=20))
    assert heard == []
    assert [(line["event"], line["count"]) for line in logs] == [("plugin.news_dropped", 2)]


class Payload(dict[str, Any]):
    """One that says whether somebody still holds it."""


async def test_what_waits_holds_no_more_than_its_bytes() -> None:
    plugins, heard = Plugins(), list[int]()

    class Ears:
        @hookimpl
        def zekt_github_events(self) -> list[str]:
            return ["star"]

        @hookimpl
        async def zekt_github_event(self, event: GitHubEvent) -> None:
            heard.append(len(event.payload))

    plugins.register(Ears(), "ears")
    plugins.registry.plugins["ears"].named = frozenset({"star"})
    payload = Payload(STAR)
    held = weakref.ref(payload)
    event = GitHubEvent("star", "created", "guid", None, 1, START, payload)
    plugins.heard_github(event, json.dumps(STAR).encode(), None)  # type: ignore[arg-type]
    del event, payload
    gc.collect()
    assert (held(), heard) == (None, [])
    await plugins.close(timedelta(seconds=5))
    assert heard == [len(STAR)]
