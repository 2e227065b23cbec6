"""What a consumer wants of a service, and what a service lets be wanted."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from tests.operations.news import mirrored
from tests.operations.people import people
from tests.operations.subscribing import (
    ALIAS,
    CONSUMER,
    ENDS,
    HIDDEN,
    PROVIDER,
    go,
    row_of,
    told,
)
from tests.stage import ME, SERVICE
from zekt_bot.db import tables
from zekt_bot.db.tables import deliveries
from zekt_bot.domain.subscriptions import Filters
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, NotFound
from zekt_bot.operations import (
    services,
    subscription_lists,
    subscriptions,
)
from zekt_bot.operations.subscription_lists import Which
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.operations.subscription_terms import Terms

if TYPE_CHECKING:
    from tests.stage import Stage
    from zekt_bot.domain.subscriptions import Verb


@pytest.mark.parametrize(
    "terms",
    [
        Terms(settings={"url": "https://example.org"}),
        Terms(event_types=("other",)),
        Terms(event_types=()),
        Terms(filters=Filters(conclusions=("good",))),
    ],
)
async def test_senseless_terms_are_invalid(stage: Stage, terms: Terms) -> None:
    await stage.publish()
    with pytest.raises(InvalidInput):
        await subscriptions.request(stage.broker, ME, ENDS, terms)
    assert await stage.rows(tables.subscriptions) == []


@pytest.mark.parametrize("named", [("",), ("a\n",), ("a\udcff",), tuple(map(str, range(101)))])
async def test_of_any_type_only_sensible_ones_are_accepted(
    stage: Stage, named: tuple[str, ...]
) -> None:
    await stage.publish()
    await services.edit(stage.broker, ME, SERVICE, {"event_types": ("*",)})
    with pytest.raises(InvalidInput):
        await subscriptions.request(stage.broker, ME, ENDS, Terms(event_types=named))
    assert await stage.rows(tables.subscriptions) == []


async def test_accepting_more_comes_to_an_end(stage: Stage) -> None:
    await stage.publish()
    await services.edit(stage.broker, ME, SERVICE, {"event_types": ("*",)})
    await subscriptions.request(stage.broker, ME, ENDS, Terms(event_types=("first",)))
    await go(stage, "approve")
    for some, taken in ((99, True), (100, False)):
        more = Terms(event_types=tuple(f"type-{number}" for number in range(some)))
        with nullcontext() if taken else pytest.raises(InvalidInput, match="100 event types"):
            await subscriptions.accept(stage.broker, ME, ENDS, more)
    (row,) = await stage.rows(tables.subscriptions)
    assert len(json.loads(row["event_types"])) == 100


async def test_a_channel_that_nobody_offers_is_invalid(stage: Stage) -> None:
    await stage.publish()
    for say in (subscriptions.request, subscriptions.invite):
        with pytest.raises(InvalidInput, match="No plugin offers"):
            await say(stage.broker, ME, Ends(SERVICE, CONSUMER, "owl"))
    assert await stage.rows(tables.subscriptions) == []


async def test_words_are_few(stage: Stage) -> None:
    await stage.publish()
    with pytest.raises(InvalidInput):
        await subscriptions.request(stage.broker, ME, ENDS, Terms(words="x" * 501))
    await subscriptions.request(stage.broker, ME, ENDS, Terms(words="x" * 500))


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
    held = await subscriptions.request(stage.broker, ME, Ends(SERVICE, PROVIDER))
    assert held.state == "requested"


async def test_a_service_may_approve_by_a_list(stage: Stage) -> None:
    there = people(stage)
    await stage.publish()
    await services.edit(stage.broker, ME, SERVICE, {}, approves=("Kestrel-Bank",))
    held = await subscriptions.request(stage.broker, there.mia, ENDS)
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


@pytest.mark.parametrize(
    ("offered", "then", "accepted"),
    [
        (("released",), ("released", "deploy"), ["released"]),
        (("released", "deploy"), ("deploy", "erase"), ["deploy"]),
        (("*",), ("released", "deploy"), ["released", "deploy"]),
        (("released",), ("*",), ["released"]),
    ],
)
async def test_an_invitation_is_accepted_as_it_was_offered(
    stage: Stage, offered: tuple[str, ...], then: tuple[str, ...], accepted: list[str]
) -> None:
    await stage.publish(*offered)
    await go(stage, "invite")
    await services.edit(stage.broker, ME, SERVICE, {"event_types": then})
    await go(stage, "accept")
    assert json.loads((await row_of(stage))["event_types"]) == accepted
    added = [each for each in then if each not in accepted]
    shown = await subscription_lists.show(stage.broker, ME, ENDS)
    assert shown["not_accepted"] == added


async def test_who_accepted_any_type_has_accepted_each(stage: Stage) -> None:
    await stage.serve("*")
    await services.edit(stage.broker, ME, SERVICE, {"event_types": ("released",)})
    shown = await subscription_lists.show(stage.broker, ME, ENDS)
    assert (shown["event_types"], shown["not_accepted"]) == (["*"], [])


async def test_an_event_type_added_later_needs_the_consumers_acceptance(stage: Stage) -> None:
    there = people(stage)
    await stage.serve("released")
    await services.edit(stage.broker, ME, SERVICE, {"event_types": ("released", "deployed")})
    run = await stage.finish_run("build")
    await stage.post(run, event_type="deployed")
    await stage.prepare()
    assert await stage.rows(deliveries) == []
    shown = await subscription_lists.list_subscriptions(stage.broker, ME, Which(service=SERVICE))
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
        await subscriptions.pause(stage.broker, there.ada, ENDS)
    await subscriptions.pause(stage.broker, there.mia, ENDS)
    with pytest.raises(Conflict, match="already"):
        await subscriptions.pause(stage.broker, ME, ENDS)
    await stage.finish_run("build")
    assert await stage.flow() == []
    assert await stage.rows(deliveries) == []
    await subscriptions.resume(stage.broker, there.mia, ENDS)
    with pytest.raises(Conflict, match="not paused"):
        await subscriptions.resume(stage.broker, ME, ENDS)
    await stage.finish_run("build")
    assert len(await stage.flow()) == 1


async def test_filters_are_the_consumers(stage: Stage) -> None:
    there = people(stage)
    await stage.serve()
    only = Terms(filters=Filters(branches=("release/**",)))
    with pytest.raises(AccessDenied):
        await subscriptions.configure(stage.broker, there.ada, ENDS, only)
    held = await subscriptions.configure(stage.broker, there.mia, ENDS, only)
    assert held.filters == only.filters
    await stage.finish_run("build")
    assert await stage.flow() == []
    await go(stage, "end")
    with pytest.raises(Conflict):
        await subscriptions.configure(stage.broker, ME, ENDS, only)


@pytest.mark.parametrize(
    ("before", "say"),
    [
        ((), subscriptions.request),
        (("request",), subscriptions.configure),
        (("invite",), subscriptions.accept),
    ],
)
async def test_of_a_hidden_source_no_filter_spells_the_branches(
    stage: Stage, before: tuple[Verb, ...], say: Any
) -> None:
    await stage.publish()
    await go(stage, *before)
    await services.edit(stage.broker, ME, SERVICE, HIDDEN)
    ends, guess = Ends(ALIAS, CONSUMER), Terms(filters=Filters(branches=("m*",)))
    with pytest.raises(InvalidInput, match="hides its source"):
        await say(stage.broker, ME, ends, guess)
    await say(stage.broker, ME, ends, Terms(filters=Filters(conclusions=("success",))))


async def test_only_what_is_alive_is_paused_or_set(stage: Stage) -> None:
    await stage.publish()
    await stage.subscribe(approve=False)
    with pytest.raises(Conflict, match="is requested already"):
        await stage.subscribe(approve=False)
    with pytest.raises(Conflict, match="is requested"):
        await subscriptions.pause(stage.broker, ME, ENDS)
    await go(stage, "end")
    with pytest.raises(Conflict, match="is ended"):
        await subscriptions.resume(stage.broker, ME, ENDS)
