"""Who sees a subscription, and what of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.operations.people import people
from tests.operations.subscribing import (
    ALIAS,
    CONSUMER,
    ENDS,
    HIDDEN,
    PROVIDER,
    SAY,
)
from tests.stage import ME, SERVICE
from zekt_bot.errors import AccessDenied, InvalidInput, NotFound
from zekt_bot.operations import (
    repositories,
    services,
    subscription_lists,
    subscriptions,
)
from zekt_bot.operations.subscription_lists import Which
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from tests.stage import Stage


async def test_only_the_ends_see_a_subscription(stage: Stage) -> None:
    there = people(stage)
    held = await stage.serve()
    for who in (ME, there.ada, there.mia):
        shown = await subscription_lists.show(stage.broker, who, held.id)
        assert (shown["service"], shown["consumer"]) == (SERVICE, CONSUMER)
    for who in (there.wes, there.eve):
        with pytest.raises(NotFound):
            await subscription_lists.show(stage.broker, who, held.id)
    with pytest.raises(NotFound):
        await subscription_lists.show(stage.broker, ME, "sub_0")
    with pytest.raises(AccessDenied, match="--repository"):
        await subscription_lists.list_subscriptions(stage.broker, there.mia, Which())
    for which, who in (
        (Which(repository=CONSUMER), there.mia),
        (Which(service=SERVICE), there.ada),
    ):
        found = await subscription_lists.list_subscriptions(stage.broker, who, which)
        assert [each["id"] for each in found] == [held.id]
    assert (
        await subscription_lists.list_subscriptions(stage.broker, ME, Which(states=("ended",)))
        == []
    )
    for wrong in (Which(limit=0), Which(after="sub_1"), Which(states=("lost",))):  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            await subscription_lists.list_subscriptions(stage.broker, ME, wrong)


async def test_a_list_of_a_repository_and_a_service_is_of_both(stage: Stage) -> None:
    there = people(stage)
    held = await stage.serve()
    both = Which(repository=CONSUMER, service=SERVICE)
    for who in (ME, there.ada, there.mia):
        found = await subscription_lists.list_subscriptions(stage.broker, who, both)
        assert [each["id"] for each in found] == [held.id]
    other = Which(repository="kestrel-bank/ledger", service=SERVICE)
    stage.github.repository(stage.consumer.owner, "ledger")
    await repositories.enable(stage.broker, ME, "kestrel-bank/ledger", "consumer")
    assert await subscription_lists.list_subscriptions(stage.broker, ME, other) == []
    for who in (there.wes, there.eve):
        with pytest.raises((AccessDenied, NotFound)):
            await subscription_lists.list_subscriptions(stage.broker, who, both)


async def test_who_hides_behind_an_alias_cannot_be_guessed_by_the_consumer(stage: Stage) -> None:
    there = people(stage)
    await stage.serve()
    await services.edit(stage.broker, ME, SERVICE, HIDDEN)
    for say in (subscriptions.pause, subscriptions.accept, SAY["end"]):
        with pytest.raises(NotFound) as guessed:
            await say(stage.broker, there.mia, ENDS)
        with pytest.raises(NotFound) as wrong:
            await say(stage.broker, there.mia, Ends("aurora-labs/other", CONSUMER))
        assert str(guessed.value).replace("/release", "/other") == str(wrong.value)
    both = Which(repository=CONSUMER, service=SERVICE)
    with pytest.raises(NotFound):
        await subscription_lists.list_subscriptions(stage.broker, there.mia, both)
    await subscriptions.pause(stage.broker, there.mia, Ends(ALIAS, CONSUMER))
    await subscriptions.end(stage.broker, there.ada, "revoke", ENDS)


async def test_the_people_of_a_hidden_source_are_told_to_nobody_else(stage: Stage) -> None:
    there = people(stage)
    await stage.publish()
    await services.edit(stage.broker, ME, SERVICE, HIDDEN)
    asked = await subscriptions.request(stage.broker, there.mia, Ends(ALIAS, CONSUMER))
    await subscriptions.approve(stage.broker, there.ada, ENDS)
    ends = {there.mia: (there.mia.actor, None), there.ada: (there.mia.actor, there.ada.actor)}
    for who, people_seen in ends.items():
        shown = await subscription_lists.show(stage.broker, who, asked.id)
        name = CONSUMER if who is there.mia else PROVIDER
        (row,) = await subscription_lists.list_subscriptions(
            stage.broker, who, Which(repository=name)
        )
        for each in (shown, row):
            assert (each["requested_by"], each["approved_by"]) == people_seen


async def test_what_befell_a_hidden_source_at_github_is_told_to_its_own_people_alone(
    stage: Stage,
) -> None:
    there = people(stage)
    await stage.publish()
    await services.edit(stage.broker, ME, SERVICE, HIDDEN)
    asked = await subscriptions.request(stage.broker, there.mia, Ends(ALIAS, CONSUMER))
    await subscriptions.approve(stage.broker, there.ada, ENDS)
    await stage.github.archive(stage.provider)
    await stage.listen()
    for who, told in ((there.mia, "unavailable"), (there.ada, "archived"), (ME, "archived")):
        shown = await subscription_lists.show(stage.broker, who, asked.id)
        assert (shown["service_rests"], shown["consumer_rests"]) == (told, None)


async def test_a_private_service_is_not_there_whatever_repository_one_names(stage: Stage) -> None:
    there = people(stage)
    await stage.serve()
    await services.edit(stage.broker, ME, SERVICE, {"visibility": "private"})
    stage.consumer.private = False
    stage.clock.advance(timedelta(minutes=2))
    await repositories.enable(stage.broker, ME, CONSUMER, "consumer")
    for name in (CONSUMER, "kestrel-bank/unheard-of"):
        for say in (SAY["request"], SAY["end"]):
            with pytest.raises(NotFound, match="no service aurora-labs/release"):
                await say(stage.broker, there.eve, Ends(SERVICE, name))


async def test_between_a_service_and_a_stranger_there_is_nothing_to_see(stage: Stage) -> None:
    there = people(stage)
    await stage.publish()
    unheard = "kestrel-bank/unheard-of"
    for who in (ME, there.ada, there.eve):
        with pytest.raises(NotFound) as absent:
            await subscriptions.approve(stage.broker, who, Ends(SERVICE, unheard))
        assert "request it first" in str(absent.value)
    await subscriptions.invite(stage.broker, ME, ENDS)
    with pytest.raises(NotFound) as hidden:  # the same words: the consumer is private
        await subscriptions.approve(stage.broker, there.eve, ENDS)
    assert str(hidden.value).replace("core-sync", "unheard-of") == str(absent.value)
