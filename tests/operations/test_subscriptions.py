"""Every verb in every state, who may say it, and the two consents that the row keeps."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.operations.people import people
from tests.operations.subscribing import (
    CONSUMER,
    DAYS,
    ENDS,
    PROVIDERS,
    SAY,
    WAY,
    go,
    row_of,
    told,
)
from tests.stage import ME, SERVICE
from zekt_bot.db import tables
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.subscriptions import STATES, SUBSCRIPTION_MOVES
from zekt_bot.errors import AccessDenied, Conflict, NotFound
from zekt_bot.operations import (
    services,
    subscription_lists,
    subscription_moves,
    subscription_parties,
    subscriptions,
)
from zekt_bot.operations.subscription_lists import Which
from zekt_bot.operations.subscription_terms import Terms

if TYPE_CHECKING:
    from tests.stage import Stage
    from zekt_bot.domain.subscriptions import Verb


@pytest.mark.parametrize("state", WAY)
async def test_every_verb_does_what_the_table_says(stage: Stage, state: Any) -> None:
    await stage.publish()
    await go(stage, *WAY[state])
    for verb, say in SAY.items():
        sources, _ = SUBSCRIPTION_MOVES[verb]
        if state in sources or (verb, state) == ("accept", "approved"):
            continue
        with pytest.raises(Conflict if state else NotFound):
            await say(stage.broker, ME, ENDS)
        rows = await stage.rows(tables.subscriptions)
        assert [row["state"] for row in rows] == ([state] if state else [])


@pytest.mark.parametrize("verb", SAY)
@pytest.mark.parametrize("state", [None, *STATES])
async def test_a_move_is_one_row_and_one_entry(stage: Stage, verb: Verb, state: Any) -> None:
    sources, to = SUBSCRIPTION_MOVES[verb]
    if state not in sources:
        return
    await stage.publish()
    await go(stage, *WAY[state])
    before = await stage.rows(tables.subscriptions)
    held = await SAY[verb](stage.broker, ME, ENDS)
    row = await row_of(stage)
    assert held.state == row["state"] == to
    if before:
        assert row["id"] == before[0]["id"]
        assert row["version"] == before[0]["version"] + 1
    entries = await told(stage, f"person:subscription:{subscription_moves.PAST[verb]}")
    assert entries[-1]["actor"] == ME.actor
    assert json.loads(entries[-1]["details"])["subscription"] == held.id


@pytest.mark.parametrize("verb", SAY)
async def test_each_side_says_what_is_its_own(stage: Stage, verb: Verb) -> None:
    there = people(stage)
    await stage.publish()
    state = next(iter(sorted(SUBSCRIPTION_MOVES[verb][0], key=str)))
    await go(stage, *WAY[state])
    may, may_not = (there.ada, there.mia) if verb in PROVIDERS else (there.mia, there.ada)
    run = WorkflowRun(RunKey(stage.provider.id, 2, 1))
    before = await stage.rows(tables.subscriptions)
    for stranger in (may_not, there.wes, there.eve, run):
        with pytest.raises((AccessDenied, NotFound)) as refused:
            await SAY[verb](stage.broker, stranger, ENDS)
        if stranger is may_not and before:
            assert isinstance(refused.value, AccessDenied)
        assert await stage.rows(tables.subscriptions) == before
    await SAY[verb](stage.broker, may, ENDS)
    row = await row_of(stage)
    assert row["state"] == SUBSCRIPTION_MOVES[verb][1]


async def test_the_row_keeps_who_asked_and_who_approved(stage: Stage) -> None:
    there = people(stage)
    await stage.publish()
    asked_at = stage.clock.now()
    await subscriptions.request(stage.broker, there.mia, ENDS, Terms(words=" Please. "))
    row = await row_of(stage)
    assert (row["requested_by"], row["requested_account_id"], row["requested_at"]) == (
        there.mia.actor,
        stage.consumer.owner.id,
        asked_at,
    )
    assert (row["words"], row["approved_by"], row["expires_at"]) == (
        "Please.",
        None,
        asked_at + DAYS,
    )
    stage.clock.advance(timedelta(seconds=1))
    await subscriptions.approve(stage.broker, there.ada, ENDS)
    row = await row_of(stage)
    assert (row["approved_by"], row["approved_account_id"], row["approved_at"]) == (
        there.ada.actor,
        stage.provider.owner.id,
        asked_at + timedelta(seconds=1),
    )
    assert row["expires_at"] is None


async def test_a_refusal_is_read_and_what_was_refused_can_be_asked_again(stage: Stage) -> None:
    await stage.publish()
    await go(stage, "request")
    await subscriptions.end(stage.broker, ME, "reject", ENDS, "Not for banks.")
    shown = await subscription_lists.list_subscriptions(
        stage.broker, ME, Which(repository=CONSUMER)
    )
    assert [(each["state"], each["answer"]) for each in shown] == [("rejected", "Not for banks.")]
    await go(stage, "request")
    row = await row_of(stage)
    assert (row["state"], row["answer"], row["approved_by"]) == ("requested", None, None)
    assert len(await told(stage, "person:subscription:requested")) == 2


@pytest.mark.parametrize("verb", ["request", "invite"])
async def test_what_nobody_answers_in_time_is_over(stage: Stage, verb: Verb) -> None:
    await stage.publish()
    await go(stage, verb)
    stage.clock.advance(DAYS - timedelta(seconds=1))
    assert await subscription_moves.expire(stage.broker) == 0
    stage.clock.advance(timedelta(seconds=1))
    with pytest.raises(Conflict, match="in time"):
        await go(stage, "approve" if verb == "request" else "accept")
    assert await subscription_moves.expire(stage.broker) == 1
    assert await subscription_moves.expire(stage.broker) == 0
    row = await row_of(stage)
    assert (row["state"], row["expires_at"]) == ("ended", None)
    (entry,) = await told(stage, "zekt:subscription:expired")
    assert json.loads(entry["details"])["subscription"] == row["id"]


async def test_what_was_answered_does_not_expire(stage: Stage) -> None:
    await stage.serve()
    stage.clock.advance(DAYS * 2)
    assert await subscription_moves.expire(stage.broker) == 0


async def test_a_fact_that_moves_between_reading_and_writing_is_seen(stage: Stage) -> None:
    await stage.publish()
    await go(stage, "request")
    found = await subscription_parties.parties(stage.broker, ME, "subscription:approve", ENDS)
    await services.edit(stage.broker, ME, SERVICE, {"title": "Releases"})
    with pytest.raises(Conflict, match="try again"):
        await subscription_moves.move(
            stage.broker, ME, found, subscription_moves.Changed("approve", {})
        )
    assert (await row_of(stage))["state"] == "requested"


async def test_many_expire_in_pages_and_what_is_answered_meanwhile_does_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription_moves, "_PAGE", 1)
    await stage.publish()
    second = stage.github.repository(stage.consumer.owner, "second")
    for consumer in (stage.consumer, second):
        await stage.subscribe(consumer, approve=False)
    stage.clock.advance(DAYS)
    assert await subscription_moves.expire(stage.broker) == 2
    assert {row["state"] for row in await stage.rows(tables.subscriptions)} == {"ended"}
    assert len(await told(stage, "zekt:subscription:expired")) == 2
