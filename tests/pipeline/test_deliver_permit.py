"""Right before every POST the policy is asked again, and no block stands on facts that moved."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from tests.pipeline.between import elsewhere, interfere, writing
from tests.pipeline.sending import DISPATCHES, PACED, asked, execute, matched, posts, tokens, verbs
from tests.stage import LEASE, ME, RELEASE
from zekt_bot import hookimpl
from zekt_bot.app import open_broker
from zekt_bot.db import mirror, workflows
from zekt_bot.db.kept import KeptFacts
from zekt_bot.db.tables import attempts, deliveries, services, subscriptions
from zekt_bot.domain.deliveries import Delivery, Outcome
from zekt_bot.domain.events import Blocked
from zekt_bot.errors import StorageUnavailable
from zekt_bot.operations import pauses
from zekt_bot.pipeline.permit import Refusal, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sqlalchemy import Connection, Executable

    from tests.stage import Stage
    from zekt_bot.domain.deliveries import DispatchRequest
    from zekt_bot.hookspecs import ChannelApi

MINT = "/app/installations/*/access_tokens"


def to_state(state: str) -> Executable:
    changed = update(subscriptions)
    return changed.values(state=state, version=subscriptions.c.version + 1)


async def blocked(stage: Stage, reason: str, made: int) -> None:
    """It is over for this reason, after so many POSTs."""
    row = await stage.row(deliveries)
    assert (row["state"], row["blocked_reason"], row["reason"]) == ("blocked", reason, None)
    assert (row["lease"], row["due_at"], row["attempts"]) == (None, None, made)
    assert len(posts(stage)) == made
    assert [one["outcome"] for one in await stage.rows(attempts)] == ["blocked"] * made
    assert await verbs(stage) == ["zekt:delivery:created", "zekt:delivery:blocked"]
    assert await tokens(stage) == PACED.burst - made


async def test_what_is_revoked_while_the_token_is_minted_is_not_sent(stage: Stage) -> None:
    free = asyncio.Event()
    await matched(stage)
    stage.github.fail("POST", MINT, until=free)
    sending = asyncio.create_task(stage.deliver())
    await asked(stage, "/access_tokens")
    await execute(stage, to_state("revoked"))
    free.set()
    assert await sending == [None]
    await blocked(stage, "not_approved", made=0)


@pytest.mark.parametrize("how", ["a fresh token", "another name"])
async def test_what_is_revoked_before_the_second_post_is_not_sent_once_more(
    stage: Stage, how: str
) -> None:
    free = asyncio.Event()
    await matched(stage)
    if how == "a fresh token":
        stage.github.fail("POST", DISPATCHES, status=401, until=free)
    else:
        await stage.github.rename(stage.consumer, "core-sync-2")
        stage.github.fail("GET", "/repositories/*", until=free)
    sending = asyncio.create_task(stage.deliver())
    await asked(stage, "/dispatches")
    await execute(stage, to_state("revoked"))
    free.set()
    (outcome,) = await sending
    assert outcome is not None
    assert outcome.kind == "blocked"
    await blocked(stage, "not_approved", made=1)


async def test_what_is_put_on_hold_while_the_token_is_minted_waits(stage: Stage) -> None:
    free = asyncio.Event()
    await matched(stage)
    stage.github.fail("POST", MINT, until=free)
    sending = asyncio.create_task(stage.deliver())
    await asked(stage, "/access_tokens")
    await pauses.pause(stage.broker, ME, pauses.Target())
    free.set()
    assert await sending == [None]
    assert posts(stage) == []
    assert (await stage.row(deliveries))["waits_for"] == "pause"


@pytest.mark.parametrize("waits", [{"on_hold": "everything"}, {"in_line": True}])
async def test_what_waits_goes_out_under_no_policy_though_consent_was_withdrawn(
    stage: Stage, tmp_path: Path, waits: dict[str, Any]
) -> None:
    await matched(stage)
    (work,) = await stage.works()
    work = replace(work, facts=replace(work.facts, withdrawn=True), **waits)
    policy = "from zekt_bot import hookimpl\n\n@hookimpl\ndef zekt_block_reason(): return None\n"
    (tmp_path / "lenient.py").write_text(policy)
    settings = replace(stage.broker.settings, disabled_plugins=("auth",), plugins_dir=tmp_path)
    async with open_broker(settings, stage.clock) as lenient:
        assert await ask(lenient, work) == Refusal(**waits)
    assert await ask(stage.broker, work) == Refusal(Blocked("withdrawn", "auth"))


class WithoutRepositories(KeptFacts):
    """Other facts are kept, but repositories went to make room. `between`: before they are read."""

    def __init__(self) -> None:
        super().__init__()
        self.between: Callable[[], None] | None = None

    def of(self, kind: str, present: Mapping[Any, Any], read: Callable[..., Any]) -> Any:
        if kind != "repository":
            return super().of(kind, present, read)
        between, self.between = self.between, None
        if between:
            between()
        return read([*present])


async def test_a_workflow_disallowed_while_its_facts_are_read_is_not_sent(stage: Stage) -> None:
    kept = stage.kept = WithoutRepositories()
    await stage.serve()
    await stage.finish_run("build")
    await stage.flow()
    await stage.finish_run("build")
    await stage.prepare()
    made = len(posts(stage))

    def disallow(connection: Connection) -> None:
        workflows.disallow(connection, stage.provider.id, RELEASE)
        mirror.touch(connection, stage.provider.id)

    kept.between = partial(elsewhere, stage, writing(disallow))
    (work,) = await stage.works()
    assert kept.between is None
    assert await stage.send(work) is None
    assert len(posts(stage)) == made


class Hesitant:
    """A plugin that fails the second time it is asked about a delivery, and ever after."""

    def __init__(self, good: int = 1) -> None:
        self.good = good

    @hookimpl
    def zekt_block_reason(self, subject: object) -> None:
        if isinstance(subject, Delivery):
            self.good -= 1
            if self.good < 0:
                raise LookupError(subject.id)


async def test_no_decision_before_the_post_no_post(stage: Stage) -> None:
    free = asyncio.Event()
    await matched(stage)
    stage.broker.plugins.register(Hesitant(), "hesitant")
    stage.github.fail("POST", MINT, until=free)
    sending = asyncio.create_task(stage.deliver())
    await asked(stage, "/access_tokens")
    await execute(stage, to_state("approved"))
    free.set()
    assert await sending == [None]
    assert posts(stage) == []
    row = await stage.row(deliveries)
    assert (row["state"], row["reason"], row["failures"]) == ("pending", "plugin_failed", 1)


async def test_no_decision_before_a_second_post_is_a_retry(stage: Stage) -> None:
    free = asyncio.Event()
    await matched(stage)
    stage.broker.plugins.register(Hesitant(), "hesitant")
    stage.github.fail("POST", DISPATCHES, status=401, until=free)
    sending = asyncio.create_task(stage.deliver())
    await asked(stage, "/dispatches")
    await execute(stage, to_state("approved"))
    free.set()
    (outcome,) = await sending
    assert outcome is not None
    assert outcome.kind == "retry"
    row = await stage.row(deliveries)
    assert (row["state"], row["attempts"], len(posts(stage))) == ("retrying", 1, 1)


async def test_who_lost_the_lease_before_the_post_does_not_post(stage: Stage) -> None:
    await matched(stage)
    (slow,) = await stage.works()
    stage.clock.advance(LEASE)
    (mine,) = await stage.works()
    assert await stage.send(slow) is None
    assert posts(stage) == []
    assert await stage.rows(attempts) == []
    assert (await stage.row(deliveries))["lease"] == mine.lease


class Stubborn:
    """A channel that takes no refusal for an answer."""

    name = "stubborn"

    def __init__(self, *, outside: bool) -> None:
        self.outside = outside

    def check(self, settings: Mapping[str, str]) -> None: ...

    async def send(self, request: DispatchRequest, client: ChannelApi) -> Outcome:
        try:
            if self.outside:
                await client.request("POST", "https://consumer.example", {}, request.body)
            else:
                await client.post(f"/repos/{request.repository}/dispatches", request.body)
        except Exception:
            return Outcome("dispatched", status=204)
        raise AssertionError("it was let through")


@pytest.mark.parametrize("outside", [False, True])
async def test_no_channel_turns_a_refusal_into_a_success(stage: Stage, outside: bool) -> None:
    await matched(stage)
    stage.broker.plugins.channels[Stubborn.name] = Stubborn(outside=outside)
    await execute(stage, update(deliveries).values(channel=Stubborn.name))
    revoke = writing(lambda connection: connection.execute(to_state("revoked")))
    interfere(stage, Delivery, revoke)
    assert await stage.deliver() == [None]
    await blocked(stage, "not_approved", made=0)


async def test_without_the_database_nothing_is_posted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await matched(stage)
    (work,) = await stage.works()

    async def away(*_: Any) -> Any:
        raise StorageUnavailable

    monkeypatch.setattr(stage.broker.database, "ask", away)
    with pytest.raises(StorageUnavailable):
        await stage.send(work)
    assert posts(stage) == []


async def test_a_block_on_facts_that_moved_is_none(stage: Stage) -> None:
    await matched(stage)
    await execute(stage, to_state("requested"))
    (work,) = await stage.works()
    await execute(stage, to_state("approved"))
    assert await stage.send(work) is None
    row = await stage.row(deliveries)
    assert (row["state"], row["due_at"], row["lease"]) == ("pending", stage.clock.now(), None)
    assert await tokens(stage) == PACED.burst
    assert await verbs(stage) == ["zekt:delivery:created"]
    (outcome,) = await stage.deliver()
    assert outcome is not None
    assert outcome.kind == "dispatched"


async def test_a_failed_decision_on_facts_that_moved_counts_for_nothing(stage: Stage) -> None:
    await matched(stage)
    (work,) = await stage.works()
    stage.broker.plugins.register(Hesitant(0), "hesitant")
    await execute(stage, to_state("approved"))
    assert await stage.send(work) is None
    row = await stage.row(deliveries)
    assert (row["failures"], row["reason"], row["due_at"]) == (0, None, stage.clock.now())


@pytest.mark.parametrize(
    ("table", "reason"),
    [(services, "event_type_not_declared"), (subscriptions, "not_approved")],
    ids=str,
)
async def test_an_event_type_that_is_agreed_no_longer_is_not_sent(
    stage: Stage, table: Any, reason: str
) -> None:
    await matched(stage)
    other = update(table).values(event_types='["other"]', version=table.c.version + 1)
    await execute(stage, other)
    assert await stage.deliver() == [None]
    await blocked(stage, reason, made=0)


async def test_each_post_costs_one_look_at_the_facts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await matched(stage)
    (work,) = await stage.works()
    looked: list[Any] = []
    for name in ("query", "ask"):
        look = getattr(stage.broker.database, name)

        async def counted(fn: Any, *args: Any, look: Any = look) -> Any:
            looked.append(fn)
            return await look(fn, *args)

        monkeypatch.setattr(stage.broker.database, name, counted)
    await stage.send(work)
    assert [fn.__name__ for fn in looked] == ["stands"] * len(posts(stage))
    assert len(posts(stage)) == 1
