"""Consent is one account's: it ends with the owner who gave it, and the audit says so."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from tests.operations.news import mirrored
from tests.operations.people import people
from tests.operations.subscribing import ALIAS, CONSUMER, DAYS, ENDS, HIDDEN, PROVIDER, row_of
from tests.pigeon import PIGEON
from tests.pipeline.sending import matched
from tests.stage import ME, RELEASE, SERVICE, open_stage
from zekt_bot import hookimpl
from zekt_bot.db import tables
from zekt_bot.db.tables import audit
from zekt_bot.domain.catalog import Conditions
from zekt_bot.domain.subscriptions import Durable, Filters, Ordered
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, NotFound
from zekt_bot.operations import (
    pauses,
    repositories,
    services,
    subscription_lists,
    subscription_moves,
    subscriptions,
    workflows,
)
from zekt_bot.operations.durability import make_durable
from zekt_bot.operations.ordering import make_ordered
from zekt_bot.operations.replay import let_provider
from zekt_bot.operations.services import Publication
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.operations.subscription_terms import Terms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.stage import Stage
    from zekt_bot.domain.audit import Entry
    from zekt_bot.testing.model import Account, Repository

OTHER = ".github/workflows/other.yml"
PIGEONS = Ends(SERVICE, CONSUMER, "pigeon")


@pytest.fixture
async def coop(migrated_url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage with a channel that wants a setting."""
    (tmp_path / "pigeon.py").write_text(PIGEON)
    async with open_stage(migrated_url, plugins_dir=tmp_path) as opened:
        yield opened


async def newcomer(stage: Stage) -> Account:
    """Another account with the App on all its repositories."""
    other = stage.github.account("other-org")
    await stage.github.install(stage.app, other)
    return other


async def transfer(stage: Stage, moving: Repository, other: Account | None = None) -> Account:
    other = other or await newcomer(stage)
    await stage.github.transfer(moving, other)
    await stage.listen()
    return other


async def told(stage: Stage, verb: str) -> list[tuple[int, int, dict[str, Any]]]:
    """Account, repository and details of the audit's entries of a verb."""
    columns = (audit.c.account_id, audit.c.repository_id, audit.c.details)
    statement = select(*columns).where(audit.c.verb == verb)
    found = await stage.broker.database.query(lambda c: c.execute(statement).all())
    return [(row.account_id, row.repository_id, json.loads(row.details)) for row in found]


@pytest.mark.parametrize("end", ["provider", "consumer"])
async def test_a_transfer_ends_consent_at_both_ends(stage: Stage, end: str) -> None:
    held = await stage.serve()
    moving: Repository = getattr(stage, end)
    former = stage.consumer.owner.id
    stage.clock.advance(DAYS)
    other = await transfer(stage, moving)
    row = await row_of(stage)
    assert (row["state"], row["approved_by"]) == ("requested", None)
    assert row["expires_at"] == stage.clock.now() + DAYS  # as of any other request
    assert await told(stage, "zekt:subscription:reopened") == [
        (
            former,
            stage.consumer.id,
            {"service": held.service_id, "subscription": held.id, "reason": "transferred"},
        )
    ]
    found = await mirrored(stage, moving)
    assert found is not None
    assert (found.account_id, found.provider, found.consumer) == (other.id, False, False)
    service = await stage.row(tables.services)
    assert (service["published_at"] is None) is (end == "provider")


async def test_what_was_made_before_a_transfer_is_not_sent_though_it_came_back(
    stage: Stage,
) -> None:
    await matched(stage)
    await pauses.pause(stage.broker, ME, pauses.Target())
    await stage.deliver()
    owner = stage.consumer.owner
    for other in (await newcomer(stage), owner):
        stage.clock.advance(timedelta(seconds=1))
        await transfer(stage, stage.consumer, other)
    await stage.subscribe()
    await pauses.resume(stage.broker, ME, pauses.Target())
    while await stage.deliver():
        pass
    assert (await stage.row(tables.deliveries))["blocked_reason"] == "withdrawn"


async def test_a_transferred_service_rests_at_its_new_owner(stage: Stage) -> None:
    held = await stage.serve()
    former = stage.provider.owner.id
    other = await transfer(stage, stage.provider)
    service = await stage.row(tables.services)
    assert (service["account_id"], service["rests"]) == (other.id, "transferred")
    with pytest.raises(NotFound):
        await services.find(stage.broker, SERVICE)
    assert (await services.find(stage.broker, "other-org/release")).rests == "transferred"
    assert await told(stage, "zekt:service:rested") == [
        (former, stage.provider.id, {"service": held.service_id, "reason": "transferred"})
    ]


async def test_a_new_owner_has_allowed_nothing(stage: Stage) -> None:
    await repositories.enable(stage.broker, ME, PROVIDER)
    await workflows.allow(stage.broker, ME, PROVIDER, OTHER, Conditions(forks=True), force=True)
    await stage.publish()
    await transfer(stage, stage.provider)
    assert await stage.rows(tables.allowed_workflows) == []
    name = stage.provider.full_name
    await repositories.enable(stage.broker, ME, name)
    with pytest.raises(Conflict, match="not on the allow-list"):
        await services.publish(stage.broker, ME, name, Publication(RELEASE, "release"))


@pytest.mark.parametrize("end", ["provider", "consumer"])
async def test_an_invitation_ends_with_either_owner(stage: Stage, end: str) -> None:
    await stage.publish()
    await subscriptions.invite(stage.broker, ME, ENDS)
    await transfer(stage, getattr(stage, end))
    row = await row_of(stage)
    assert (row["state"], row["expires_at"]) == ("ended", None)
    ((_, repository_id, details),) = await told(stage, "zekt:subscription:ended")
    assert (repository_id, details["subscription"]) == (stage.consumer.id, row["id"])
    assert await told(stage, "zekt:subscription:reopened") == []


@pytest.mark.parametrize("approved", [True, False])
async def test_a_former_owners_request_is_not_approved_because_the_new_one_wants_another(
    stage: Stage, *, approved: bool
) -> None:
    await stage.publish()
    await stage.subscribe(approve=approved)
    await workflows.allow(stage.broker, ME, PROVIDER, OTHER, force=True)
    await services.publish(stage.broker, ME, PROVIDER, Publication(OTHER, "other"))
    other = await transfer(stage, stage.consumer)
    name = stage.consumer.full_name
    with pytest.raises(Conflict, match="not enabled as a consumer"):
        await subscriptions.approve(stage.broker, ME, Ends(SERVICE, name))
    await subscriptions.request(stage.broker, ME, Ends("aurora-labs/other", name))
    with pytest.raises(Conflict, match="another owner"):
        await subscriptions.approve(stage.broker, ME, Ends(SERVICE, name))
    asked = await subscriptions.request(stage.broker, ME, Ends(SERVICE, name))
    held = await subscriptions.approve(stage.broker, ME, Ends(SERVICE, name))
    assert (held.id, held.state) == (asked.id, "approved")
    rows = {row["id"]: row for row in await stage.rows(tables.subscriptions)}
    assert rows[held.id]["requested_account_id"] == other.id


@pytest.mark.parametrize("end", ["provider", "consumer"])
async def test_of_an_invitation_the_acceptance_is_the_request(stage: Stage, end: str) -> None:
    there = people(stage)
    await stage.publish()
    await subscriptions.invite(stage.broker, there.ada, ENDS)
    stage.clock.advance(timedelta(seconds=1))
    accepted = (there.mia.actor, stage.consumer.owner.id, stage.clock.now())
    await subscriptions.accept(stage.broker, there.mia, ENDS)
    stage.clock.advance(timedelta(seconds=1))
    await transfer(stage, getattr(stage, end))
    row = await row_of(stage)
    assert (row["state"], row["approved_by"]) == ("requested", None)
    said = (row["requested_by"], row["requested_account_id"], row["requested_at"])
    assert said == accepted
    if end == "provider":
        held = await subscriptions.approve(stage.broker, ME, Ends("other-org/release", CONSUMER))
        assert held.state == "approved"
        return
    with pytest.raises(Conflict):
        await subscriptions.approve(stage.broker, ME, Ends(SERVICE, stage.consumer.full_name))


async def test_a_slug_that_is_taken_at_the_new_owner_gets_a_number(stage: Stage) -> None:
    moved = await stage.publish()
    other = await newcomer(stage)
    theirs = stage.github.repository(other, "theirs")
    await repositories.enable(stage.broker, ME, theirs.full_name)
    for slug in ("release", "release-2"):
        path = f".github/workflows/{slug}.yml"
        await workflows.allow(stage.broker, ME, theirs.full_name, path, force=True)
        await services.publish(stage.broker, ME, theirs.full_name, Publication(path, slug))
    await transfer(stage, stage.provider, other)
    slugs = {row["id"]: row["slug"] for row in await stage.rows(tables.services)}
    assert slugs[moved.id] == "release-3"


class _Sites:
    """A plugin that adds to the audit."""

    @hookimpl
    def zekt_audit_details(self, entry: Entry) -> dict[str, str | int]:
        return {"site": f"of-{entry.details.get('subscription', 'none')}"}


async def test_plugins_add_to_the_entries_of_what_nobody_did(stage: Stage) -> None:
    stage.broker.plugins.register(_Sites(), "sites")
    held = await stage.serve()
    await transfer(stage, stage.provider)
    stage.clock.advance(DAYS)
    assert await subscription_moves.expire(stage.broker) == 1
    for verb in ("reopened", "expired"):
        ((account_id, repository_id, details),) = await told(stage, f"zekt:subscription:{verb}")
        assert (account_id, repository_id) == (stage.consumer.owner.id, stage.consumer.id)
        assert (details["subscription"], details["site"]) == (held.id, f"of-{held.id}")
    ((_, _, details),) = await told(stage, "zekt:service:rested")
    assert details["site"] == "of-none"


async def test_an_alias_that_became_a_login_is_told_to_the_audit(stage: Stage) -> None:
    held = await stage.serve()
    await services.edit(stage.broker, ME, SERVICE, {"alias": "umbrella-org"})
    theirs = stage.github.repository(stage.github.account("umbrella-org"), "thing")
    await stage.github.install(stage.app, theirs.owner)
    for _ in range(2):  # once is enough
        await repositories.enable(stage.broker, ME, theirs.full_name)
    assert await told(stage, "zekt:service:rested") == [
        (
            stage.provider.owner.id,
            stage.provider.id,
            {"service": held.service_id, "reason": "alias_taken"},
        )
    ]


async def rename_away(stage: Stage, how: str) -> None:
    """The service's alias leads nowhere any more."""
    if how == "transferred":
        await transfer(stage, stage.provider)
        return
    holder = stage.github.repository(stage.github.account(HIDDEN["alias"]), "thing")
    await stage.github.install(stage.app, holder.owner)
    await repositories.enable(stage.broker, ME, holder.full_name)


@pytest.mark.parametrize("how", ["transferred", "alias_taken"])
async def test_a_consumer_ends_by_its_id_what_has_lost_its_name(stage: Stage, how: str) -> None:
    there = people(stage)
    held = await stage.serve()
    await services.edit(stage.broker, ME, SERVICE, HIDDEN)
    await rename_away(stage, how)
    with pytest.raises(NotFound):
        await subscriptions.end(stage.broker, there.mia, "end", Ends(ALIAS, CONSUMER))
    shown = await subscription_lists.show(stage.broker, there.mia, held.id)
    assert (shown["service"], shown["service_rests"]) == (ALIAS, how)
    assert "org" not in shown["service"]
    for stranger in (there.wes, there.eve):
        with pytest.raises(NotFound, match="no subscription"):
            await subscriptions.end(stage.broker, stranger, "end", held.id)
    with pytest.raises(AccessDenied, match="mia may not revoke"):
        await subscriptions.end(stage.broker, there.mia, "revoke", held.id)
    ended = await subscriptions.end(stage.broker, there.mia, "end", held.id)
    assert ended.state == "ended"


async def test_an_id_means_the_repository_that_it_was_made_for(stage: Stage) -> None:
    await stage.publish()
    held = await subscriptions.invite(stage.broker, ME, ENDS)
    with stage.github.outage():
        await stage.github.rename(stage.consumer, "core-old")
    stage.github.repository(stage.consumer.owner, "core-sync", private=True)
    with pytest.raises(NotFound, match="GitHub shows no"):
        await subscriptions.accept(stage.broker, ME, held.id)
    assert (await row_of(stage))["state"] == "invited"


async def test_a_type_that_was_added_later_is_accepted_without_the_settings(coop: Stage) -> None:
    await coop.publish("released")
    terms = Terms(settings={"loft": "north"})
    await subscriptions.request(coop.broker, ME, PIGEONS, terms)
    await subscriptions.approve(coop.broker, ME, PIGEONS)
    before = await row_of(coop)
    await services.edit(coop.broker, ME, SERVICE, {"event_types": ("released", "deployed")})
    for more in (
        Terms(settings={"loft": "north"}),
        Terms(filters=Filters(branches=("main",))),
    ):
        with pytest.raises(InvalidInput, match="zekt subscriptions configure"):
            await subscriptions.accept(coop.broker, ME, PIGEONS, more)
    assert await row_of(coop) == before
    held = await subscriptions.accept(coop.broker, ME, PIGEONS)
    assert held.event_types == ("released", "deployed")
    after = await row_of(coop)
    assert (after["settings"], after["lane"]) == (before["settings"], before["lane"])


async def test_an_invitation_may_be_to_a_channel_whose_settings_come_with_the_acceptance(
    coop: Stage,
) -> None:
    await coop.publish()
    await services.edit(coop.broker, ME, SERVICE, {"visibility": "private"})
    with pytest.raises(InvalidInput, match="No plugin offers"):
        await subscriptions.invite(coop.broker, ME, Ends(SERVICE, CONSUMER, "owl"))
    held = await subscriptions.invite(coop.broker, ME, PIGEONS)
    assert (held.state, held.channel, held.lane) == ("invited", "pigeon", None)
    with pytest.raises(InvalidInput, match="name the loft"):
        await subscriptions.accept(coop.broker, ME, PIGEONS)
    terms = Terms(settings={"loft": "north"})
    accepted = await subscriptions.accept(coop.broker, ME, PIGEONS, terms)
    assert (accepted.state, accepted.lane) == ("approved", "pigeon:loft.example")
    await coop.finish_run("build")
    assert [outcome.kind for outcome in await coop.flow() if outcome] == ["dispatched"]


async def test_a_hidden_source_keeps_its_people_untold_when_it_was_an_invitation(
    stage: Stage,
) -> None:
    there = people(stage)
    await stage.publish()
    await services.edit(stage.broker, ME, SERVICE, HIDDEN)
    await subscriptions.invite(stage.broker, there.ada, ENDS)
    held = await subscriptions.accept(stage.broker, there.mia, Ends(ALIAS, CONSUMER))
    shown = await subscription_lists.show(stage.broker, there.mia, held.id)
    assert (shown["requested_by"], shown["approved_by"]) == (None, there.mia.actor)
    whole = await subscription_lists.show(stage.broker, there.ada, held.id)
    assert whole["requested_by"] == there.ada.actor


@pytest.mark.parametrize("handed_over", [False, True])
async def test_asked_anew_how_it_is_sent_is_agreed_anew(stage: Stage, handed_over: bool) -> None:
    await stage.serve()
    await make_durable(stage.broker, ME, ENDS, Durable(), force=True)
    await make_ordered(stage.broker, ME, ENDS, Ordered(stops=True))
    await let_provider(stage.broker, ME, ENDS, allowed=False)
    ends = ENDS
    if handed_over:
        await transfer(stage, stage.consumer)
        ends = Ends(SERVICE, stage.consumer.full_name)
    else:
        await subscriptions.end(stage.broker, ME, "end", ENDS)
    held = await subscriptions.request(stage.broker, ME, ends)
    assert (held.durable, held.ordered) == (None, None)
    assert (await row_of(stage))["provider_may_replay"] is handed_over
