"""Every verb in every state, who may say it, and the two consents that the row keeps."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from tests.operations.news import mirrored
from tests.operations.people import people
from tests.stage import ME, SERVICE
from zekt_bot.db import tables
from zekt_bot.db.tables import audit, deliveries
from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.subscriptions import STATES, SUBSCRIPTION_MOVES, Filters
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, NotFound
from zekt_bot.operations import repositories, services, subscription_moves, subscriptions
from zekt_bot.operations.subscription_terms import Terms
from zekt_bot.operations.subscriptions import Which

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tests.stage import Stage
    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.subscriptions import Subscription, SubscriptionState, Verb

CONSUMER = "kestrel-bank/core-sync"
PROVIDER = "aurora-labs/payments-api"
DAYS = timedelta(days=30)
SAY: dict[Verb, Callable[..., Awaitable[Subscription]]] = {
    "request": subscriptions.request,
    "invite": subscriptions.invite,
    "accept": subscriptions.accept,
    "approve": subscriptions.approve,
    "reject": subscriptions.reject,
    "decline": subscriptions.decline,
    "revoke": subscriptions.revoke,
    "withdraw": subscriptions.withdraw,
    "end": subscriptions.end,
}
WAY: dict[SubscriptionState | None, tuple[Verb, ...]] = {
    None: (),
    "requested": ("request",),
    "invited": ("invite",),
    "approved": ("request", "approve"),
    "rejected": ("request", "reject"),
    "revoked": ("request", "approve", "revoke"),
    "ended": ("request", "end"),
}
PROVIDERS: set[Verb] = {"invite", "approve", "reject", "revoke", "withdraw"}
ALIAS = "northern-lights/release"
HIDDEN = {"hidden_source": True, "alias": "northern-lights"}


async def go(stage: Stage, *verbs: Verb, who: Principal = ME) -> None:
    for verb in verbs:
        await SAY[verb](stage.broker, who, SERVICE, CONSUMER)


async def row_of(stage: Stage) -> Mapping[str, Any]:
    return await stage.row(tables.subscriptions)


async def told(stage: Stage, verb: str) -> list[Mapping[str, Any]]:
    """Audit entries of a verb."""
    statement = select(audit).where(audit.c.verb == verb)
    return await stage.broker.database.query(lambda c: list(c.execute(statement).mappings()))


@pytest.mark.parametrize("state", WAY)
async def test_every_verb_does_what_the_table_says(stage: Stage, state: Any) -> None:
    await stage.publish()
    await go(stage, *WAY[state])
    for verb, say in SAY.items():
        sources, _ = SUBSCRIPTION_MOVES[verb]
        if state in sources or (verb, state) == ("accept", "approved"):
            continue
        with pytest.raises(Conflict if state else NotFound):
            await say(stage.broker, ME, SERVICE, CONSUMER)
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
    held = await SAY[verb](stage.broker, ME, SERVICE, CONSUMER)
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
            await SAY[verb](stage.broker, stranger, SERVICE, CONSUMER)
        if stranger is may_not and before:
            assert isinstance(refused.value, AccessDenied)
        assert await stage.rows(tables.subscriptions) == before
    await SAY[verb](stage.broker, may, SERVICE, CONSUMER)
    row = await row_of(stage)
    assert row["state"] == SUBSCRIPTION_MOVES[verb][1]


async def test_the_row_keeps_who_asked_and_who_approved(stage: Stage) -> None:
    there = people(stage)
    await stage.publish()
    asked_at = stage.clock.now()
    await subscriptions.request(
        stage.broker, there.mia, SERVICE, CONSUMER, Terms(words=" Please. ")
    )
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
    await subscriptions.approve(stage.broker, there.ada, SERVICE, CONSUMER)
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
    await subscriptions.reject(stage.broker, ME, SERVICE, CONSUMER, "Not for banks.")
    shown = await subscriptions.list_subscriptions(stage.broker, ME, Which(repository=CONSUMER))
    assert [(each["state"], each["answer"]) for each in shown] == [("rejected", "Not for banks.")]
    await go(stage, "request")
    row = await row_of(stage)
    assert (row["state"], row["answer"], row["approved_by"]) == ("requested", None, None)
    assert len(await told(stage, "person:subscription:requested")) == 2


async def test_words_are_few(stage: Stage) -> None:
    await stage.publish()
    with pytest.raises(InvalidInput):
        await subscriptions.request(stage.broker, ME, SERVICE, CONSUMER, Terms(words="x" * 501))
    await subscriptions.request(stage.broker, ME, SERVICE, CONSUMER, Terms(words="x" * 500))


@pytest.mark.parametrize(
    "terms",
    [
        Terms(channel="pigeon"),
        Terms(settings={"url": "https://example.org"}),
        Terms(event_types=("other",)),
        Terms(event_types=()),
        Terms(filters=Filters(conclusions=("good",))),
    ],
)
async def test_a_senseless_wish_is_invalid(stage: Stage, terms: Terms) -> None:
    await stage.publish()
    with pytest.raises(InvalidInput):
        await subscriptions.request(stage.broker, ME, SERVICE, CONSUMER, terms)
    assert await stage.rows(tables.subscriptions) == []


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


@pytest.mark.parametrize("visibility", ["organization", "private"])
async def test_what_is_not_public_is_by_invitation(stage: Stage, visibility: Any) -> None:
    there = people(stage)
    await stage.publish()
    await services.edit(stage.broker, ME, SERVICE, {"visibility": visibility})
    with pytest.raises(Conflict, match="invites"):  # operators too
        await go(stage, "request")
    with pytest.raises(NotFound, match="no service"):
        await go(stage, "request", who=there.mia)
    with pytest.raises(NotFound, match="no service"):
        await services.show(stage.broker, there.mia, SERVICE)
    asked = (SERVICE, stage.consumer.full_name)
    with pytest.raises(NotFound, match="no service"):
        await services.show(stage.broker, there.mia, *asked)
    await go(stage, "invite", who=there.ada)
    assert (await services.show(stage.broker, there.mia, *asked))["service"] == SERVICE
    for stranger in (there.wes, there.eve):
        with pytest.raises((AccessDenied, NotFound)):
            await services.show(stage.broker, stranger, *asked)
    with pytest.raises(NotFound, match="no service"):
        await services.show(stage.broker, there.mia, SERVICE)
    await go(stage, "accept", who=there.mia)
    found = await mirrored(stage, stage.consumer)
    assert found is not None
    assert found.consumer
    await stage.finish_run("build")
    assert [outcome.kind for outcome in await stage.flow() if outcome] == ["dispatched"]


async def test_the_own_organization_may_ask_for_its_own(stage: Stage) -> None:
    await stage.publish()
    await services.edit(stage.broker, ME, SERVICE, {"visibility": "organization"})
    held = await subscriptions.request(stage.broker, ME, SERVICE, PROVIDER)
    assert held.state == "requested"


async def test_a_service_may_approve_by_a_list(stage: Stage) -> None:
    there = people(stage)
    await stage.publish()
    await services.edit(stage.broker, ME, SERVICE, {}, approves=("Kestrel-Bank",))
    held = await subscriptions.request(stage.broker, there.mia, SERVICE, CONSUMER)
    assert held.state == "approved"
    row = await row_of(stage)
    assert (row["approved_by"], row["approved_account_id"], row["expires_at"]) == (
        "zekt",
        stage.provider.owner.id,
        None,
    )
    (entry,) = await told(stage, "zekt:subscription:approved")
    assert json.loads(entry["details"])["list_of"] == stage.provider.owner.id
    assert len(await told(stage, "person:subscription:requested")) == 1


async def test_an_event_type_added_later_needs_the_consumers_acceptance(stage: Stage) -> None:
    there = people(stage)
    await stage.serve("released")
    await services.edit(stage.broker, ME, SERVICE, {"event_types": ("released", "deployed")})
    run = await stage.finish_run("build")
    await stage.post(run, event_type="deployed")
    await stage.prepare()
    assert await stage.rows(deliveries) == []
    shown = await subscriptions.list_subscriptions(stage.broker, ME, Which(service=SERVICE))
    assert shown[0]["not_accepted"] == ["deployed"]
    with pytest.raises(AccessDenied):
        await go(stage, "accept", who=there.ada)
    await go(stage, "accept", who=there.mia)
    row = await row_of(stage)
    assert (row["state"], json.loads(row["event_types"])) == ("approved", ["released", "deployed"])
    run = await stage.finish_run("build")
    await stage.post(run, event_type="deployed")
    assert [outcome.kind for outcome in await stage.flow() if outcome] == ["dispatched"]


async def test_while_it_is_paused_events_make_no_delivery(stage: Stage) -> None:
    there = people(stage)
    await stage.serve()
    with pytest.raises(AccessDenied):
        await subscriptions.pause(stage.broker, there.ada, SERVICE, CONSUMER)
    await subscriptions.pause(stage.broker, there.mia, SERVICE, CONSUMER)
    with pytest.raises(Conflict, match="already"):
        await subscriptions.pause(stage.broker, ME, SERVICE, CONSUMER)
    await stage.finish_run("build")
    assert await stage.flow() == []
    assert await stage.rows(deliveries) == []
    await subscriptions.resume(stage.broker, there.mia, SERVICE, CONSUMER)
    with pytest.raises(Conflict, match="not paused"):
        await subscriptions.resume(stage.broker, ME, SERVICE, CONSUMER)
    await stage.finish_run("build")
    assert len(await stage.flow()) == 1


async def test_filters_are_the_consumers(stage: Stage) -> None:
    there = people(stage)
    await stage.serve()
    only = Terms(filters=Filters(branches=("release/**",)))
    with pytest.raises(AccessDenied):
        await subscriptions.configure(stage.broker, there.ada, SERVICE, CONSUMER, only)
    held = await subscriptions.configure(stage.broker, there.mia, SERVICE, CONSUMER, only)
    assert held.filters == only.filters
    await stage.finish_run("build")
    assert await stage.flow() == []
    await go(stage, "end")
    with pytest.raises(Conflict):
        await subscriptions.configure(stage.broker, ME, SERVICE, CONSUMER, only)


async def test_only_the_ends_see_a_subscription(stage: Stage) -> None:
    there = people(stage)
    held = await stage.serve()
    for who in (ME, there.ada, there.mia):
        shown = await subscriptions.show(stage.broker, who, held.id)
        assert (shown["service"], shown["consumer"]) == (SERVICE, CONSUMER)
    for who in (there.wes, there.eve):
        with pytest.raises(NotFound):
            await subscriptions.show(stage.broker, who, held.id)
    with pytest.raises(NotFound):
        await subscriptions.show(stage.broker, ME, "sub_0")
    with pytest.raises(AccessDenied, match="--repository"):
        await subscriptions.list_subscriptions(stage.broker, there.mia, Which())
    for which, who in (
        (Which(repository=CONSUMER), there.mia),
        (Which(service=SERVICE), there.ada),
    ):
        found = await subscriptions.list_subscriptions(stage.broker, who, which)
        assert [each["id"] for each in found] == [held.id]
    assert await subscriptions.list_subscriptions(stage.broker, ME, Which(states=("ended",))) == []
    for wrong in (Which(limit=0), Which(states=("lost",))):  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            await subscriptions.list_subscriptions(stage.broker, ME, wrong)


async def test_a_list_of_a_repository_and_a_service_is_of_both(stage: Stage) -> None:
    there = people(stage)
    held = await stage.serve()
    both = Which(repository=CONSUMER, service=SERVICE)
    for who in (ME, there.ada, there.mia):
        found = await subscriptions.list_subscriptions(stage.broker, who, both)
        assert [each["id"] for each in found] == [held.id]
    other = Which(repository="kestrel-bank/ledger", service=SERVICE)
    stage.github.repository(stage.consumer.owner, "ledger")
    await repositories.enable(stage.broker, ME, "kestrel-bank/ledger", "consumer")
    assert await subscriptions.list_subscriptions(stage.broker, ME, other) == []
    for who in (there.wes, there.eve):
        with pytest.raises((AccessDenied, NotFound)):
            await subscriptions.list_subscriptions(stage.broker, who, both)


async def test_who_hides_behind_an_alias_cannot_be_guessed_by_the_consumer(stage: Stage) -> None:
    there = people(stage)
    await stage.serve()
    await services.edit(stage.broker, ME, SERVICE, HIDDEN)
    for say in (subscriptions.pause, subscriptions.accept, subscriptions.end):
        with pytest.raises(NotFound) as guessed:
            await say(stage.broker, there.mia, SERVICE, CONSUMER)
        with pytest.raises(NotFound) as wrong:
            await say(stage.broker, there.mia, "aurora-labs/other", CONSUMER)
        assert str(guessed.value).replace("/release", "/other") == str(wrong.value)
    both = Which(repository=CONSUMER, service=SERVICE)
    with pytest.raises(NotFound):
        await subscriptions.list_subscriptions(stage.broker, there.mia, both)
    await subscriptions.pause(stage.broker, there.mia, ALIAS, CONSUMER)
    await subscriptions.revoke(stage.broker, there.ada, SERVICE, CONSUMER)


async def test_the_people_of_a_hidden_source_are_told_to_nobody_else(stage: Stage) -> None:
    there = people(stage)
    await stage.publish()
    await services.edit(stage.broker, ME, SERVICE, HIDDEN)
    asked = await subscriptions.request(stage.broker, there.mia, ALIAS, CONSUMER)
    await subscriptions.approve(stage.broker, there.ada, SERVICE, CONSUMER)
    ends = {there.mia: (there.mia.actor, None), there.ada: (there.mia.actor, there.ada.actor)}
    for who, people_seen in ends.items():
        shown = await subscriptions.show(stage.broker, who, asked.id)
        name = CONSUMER if who is there.mia else PROVIDER
        (row,) = await subscriptions.list_subscriptions(stage.broker, who, Which(repository=name))
        for each in (shown, row):
            assert (each["requested_by"], each["approved_by"]) == people_seen


async def test_a_hidden_source_that_is_transferred_shows_nobody_its_new_owner(
    stage: Stage,
) -> None:
    there = people(stage)
    held = await stage.serve()
    await services.edit(stage.broker, ME, SERVICE, HIDDEN)
    other = stage.github.account("other-org")
    await stage.github.install(stage.app, other)
    await stage.github.transfer(stage.provider, other)
    await stage.listen()
    shown = await subscriptions.show(stage.broker, there.mia, held.id)
    assert shown["service"] == "?/release"


async def test_a_private_service_is_not_there_whatever_repository_one_names(stage: Stage) -> None:
    there = people(stage)
    await stage.serve()
    await services.edit(stage.broker, ME, SERVICE, {"visibility": "private"})
    stage.consumer.private = False
    stage.clock.advance(timedelta(minutes=2))
    await repositories.enable(stage.broker, ME, CONSUMER, "consumer")
    for name in (CONSUMER, "kestrel-bank/unheard-of"):
        for say in (subscriptions.request, subscriptions.end):
            with pytest.raises(NotFound, match="no service aurora-labs/release"):
                await say(stage.broker, there.eve, SERVICE, name)


async def test_a_fact_that_moves_between_reading_and_writing_is_seen(stage: Stage) -> None:
    await stage.publish()
    await go(stage, "request")
    found = await subscription_moves.parties(
        stage.broker, ME, "subscription:approve", SERVICE, CONSUMER
    )
    await services.edit(stage.broker, ME, SERVICE, {"title": "Releases"})
    with pytest.raises(Conflict, match="try again"):
        await subscription_moves.move(
            stage.broker, ME, found, subscription_moves.Changed("approve", {})
        )
    assert (await row_of(stage))["state"] == "requested"


async def test_between_a_service_and_a_stranger_there_is_nothing_to_see(stage: Stage) -> None:
    there = people(stage)
    await stage.publish()
    unheard = "kestrel-bank/unheard-of"
    for who in (ME, there.ada, there.eve):
        with pytest.raises(NotFound) as absent:
            await subscriptions.approve(stage.broker, who, SERVICE, unheard)
        assert "request it first" in str(absent.value)
    await subscriptions.invite(stage.broker, ME, SERVICE, CONSUMER)
    with pytest.raises(NotFound) as hidden:  # the same words: the consumer is private
        await subscriptions.approve(stage.broker, there.eve, SERVICE, CONSUMER)
    assert str(hidden.value).replace("core-sync", "unheard-of") == str(absent.value)


async def test_only_what_is_alive_is_paused_or_set(stage: Stage) -> None:
    await stage.publish()
    await stage.subscribe(approve=False)
    with pytest.raises(Conflict, match="is requested already"):
        await stage.subscribe(approve=False)
    with pytest.raises(Conflict, match="is requested"):
        await subscriptions.pause(stage.broker, ME, SERVICE, CONSUMER)
    await go(stage, "end")
    with pytest.raises(Conflict, match="is ended"):
        await subscriptions.resume(stage.broker, ME, SERVICE, CONSUMER)


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
