"""Services: edited, unpublished and brought back; their aliases unmask nobody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from tests.operations.people import people
from tests.stage import ME, RELEASE, SERVICE
from zekt_bot.db import mirror
from zekt_bot.db.tables import aliases, audit, deliveries
from zekt_bot.db.tables import services as services_table
from zekt_bot.domain.catalog import Account, Profile
from zekt_bot.domain.lists import Page, RepositoryFilter
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, MessageRefused, NotFound
from zekt_bot.operations import (
    pauses,
    repositories,
    services,
    subscription_lists,
    subscriptions,
    workflows,
)
from zekt_bot.operations.services import Publication
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot import testing

PROVIDER, CONSUMER = "aurora-labs/payments-api", "kestrel-bank/core-sync"
OTHER = ".github/workflows/other.yml"


async def stranger(stage: Stage) -> tuple[testing.Account, str]:
    """Another account with an allowed workflow."""
    account = stage.github.account("umbrella-org")
    repository = stage.github.repository(account, "thing")
    stage.github.add_workflow(repository, RELEASE, "Release")
    await stage.github.install(stage.app, account)
    await repositories.enable(stage.broker, ME, repository.full_name)
    await workflows.allow(stage.broker, ME, repository.full_name, RELEASE)
    return account, repository.full_name


async def owned_aliases(stage: Stage) -> dict[str, int]:
    return {row["name_lower"]: row["account_id"] for row in await stage.rows(aliases)}


async def test_a_service_shows_itself_as_its_owner_wants(stage: Stage) -> None:
    there = people(stage)
    made = await stage.publish()
    edited = await services.edit(
        stage.broker,
        there.ada,
        SERVICE,
        {"title": "Releases", "description": "*All* of them", "tags": ("release", "release")},
        approves=("kestrel-bank",),
    )
    assert edited.version == made.version + 1
    assert edited.profile.tags == ("release",)
    assert edited.profile.approves == (stage.consumer.owner.id,)
    assert edited.profile.event_types == made.profile.event_types
    shown = await services.show(stage.broker, there.eve, SERVICE)
    assert (shown["title"], shown["tags"]) == ("Releases", ["release"])
    assert not {"repository", "workflow_path", "approves", "alias"} & set(shown)
    whole = await services.show(stage.broker, there.ada, SERVICE)
    assert whole["repository"] == PROVIDER
    for who in (there.mia, there.wes):
        with pytest.raises(AccessDenied):
            await services.edit(stage.broker, who, SERVICE, {"title": "Mine"})
        with pytest.raises(AccessDenied):
            await services.unpublish(stage.broker, who, SERVICE)


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "two\nlines"},
        {"tags": ("No Tag",)},
        {"visibility": "friends"},
        {"secrets": "burn"},
        {"event_types": ()},
        {"hidden_source": True},
        {"alias": "-x-"},
    ],
)
async def test_a_senseless_profile_is_invalid(stage: Stage, changes: dict[str, Any]) -> None:
    await stage.publish()
    before = await stage.row(services_table)
    with pytest.raises(InvalidInput):
        await services.edit(stage.broker, ME, SERVICE, changes)
    assert await stage.row(services_table) == before


async def test_only_accounts_that_are_there_can_be_approved_beforehand(stage: Stage) -> None:
    await stage.publish()
    with pytest.raises(NotFound, match="nobody-there"):
        await services.edit(stage.broker, ME, SERVICE, {}, approves=("nobody-there",))
    with pytest.raises(InvalidInput, match="At most"):
        await services.edit(stage.broker, ME, SERVICE, {}, approves=("a",) * 101)


async def test_any_type_is_allowed_with_a_warning(stage: Stage) -> None:
    assert (await stage.publish("released")).warnings == ()
    edited = await services.edit(stage.broker, ME, SERVICE, {"event_types": ("*",)})
    assert "any event type" in edited.warnings[0]


async def test_what_is_unpublished_stops_and_comes_back_with_its_subscriptions(
    stage: Stage,
) -> None:
    await stage.serve()
    await stage.finish_run("build")
    await stage.prepare()
    await services.unpublish(stage.broker, ME, SERVICE)
    with pytest.raises(Conflict, match="not published"):
        await services.unpublish(stage.broker, ME, SERVICE)
    with pytest.raises(Conflict, match="not published"):
        await subscriptions.request(stage.broker, ME, Ends(SERVICE, CONSUMER))
    await stage.deliver()
    assert (await stage.row(deliveries))["blocked_reason"] == "not_approved"
    await stage.finish_run("build")
    assert await stage.flow() == []
    with pytest.raises(Conflict, match="short name stays"):
        await services.publish(stage.broker, ME, PROVIDER, Publication(RELEASE, "another"))
    again = await services.publish(stage.broker, ME, PROVIDER, Publication(RELEASE, "release"))
    assert again.published
    await stage.finish_run("build")
    assert [outcome.kind for outcome in await stage.flow() if outcome] == ["dispatched"]
    verbs = await stage.broker.database.query(
        lambda c: list(c.execute(select(audit.c.verb).order_by(audit.c.seq)).scalars())
    )
    told = [verb for verb in verbs if ":service:" in verb]
    assert told == [
        "person:service:published",
        "person:service:unpublished",
        "person:service:published",
    ]


async def test_an_alias_is_shown_instead_of_the_login_and_leads_to_its_service_alone(
    stage: Stage,
) -> None:
    there = people(stage)
    await stage.publish()
    await workflows.allow(stage.broker, ME, PROVIDER, OTHER, force=True)
    await services.publish(stage.broker, ME, PROVIDER, Publication(OTHER, "open"))
    hidden = await services.edit(
        stage.broker, ME, SERVICE, {"alias": "North-Star", "hidden_source": True}
    )
    assert hidden.name == "North-Star/release"
    assert await owned_aliases(stage) == {"north-star": stage.provider.owner.id}
    shown = await services.show(stage.broker, there.mia, "north-star/release")
    assert "aurora" not in json.dumps(shown)
    for guess in (SERVICE, "north-star/open"):
        with pytest.raises(NotFound):
            await services.show(stage.broker, there.mia, guess)
        with pytest.raises(NotFound):
            await subscriptions.request(stage.broker, there.mia, Ends(guess, CONSUMER))
    held = await subscriptions.request(
        stage.broker, there.mia, Ends("North-Star/release", CONSUMER)
    )
    listed = await subscription_lists.show(stage.broker, there.mia, held.id)
    assert "aurora" not in json.dumps(listed, default=str)


async def test_an_alias_belongs_to_one_account_until_no_service_shows_it(stage: Stage) -> None:
    await stage.publish()
    _, theirs = await stranger(stage)
    await services.edit(stage.broker, ME, SERVICE, {"alias": "north-star"})
    wanted = Publication(RELEASE, "release", Profile(alias="North-Star"))
    with pytest.raises(Conflict, match="alias"):
        await services.publish(stage.broker, ME, theirs, wanted)
    await services.edit(stage.broker, ME, SERVICE, {"alias": None})
    assert await owned_aliases(stage) == {}
    made = await services.publish(stage.broker, ME, theirs, wanted)
    assert made.name == "North-Star/release"


async def test_an_alias_is_nobody_elses_login(stage: Stage) -> None:
    await stage.publish()
    stage.github.account("unheard-of")  # at GitHub only
    for login in ("kestrel-bank", "unheard-of"):
        with pytest.raises(Conflict, match="alias"):
            await services.edit(stage.broker, ME, SERVICE, {"alias": login.upper()})
    assert await owned_aliases(stage) == {}
    edited = await services.edit(stage.broker, ME, SERVICE, {"alias": "aurora-labs"})
    assert edited.name == SERVICE


async def test_where_somebody_comes_to_bear_the_alias_its_services_rest(stage: Stage) -> None:
    await stage.serve()
    await services.edit(stage.broker, ME, SERVICE, {"alias": "umbrella-org"})
    await stage.finish_run("build")
    await stage.prepare()
    await stranger(stage)
    row = await stage.row(services_table)
    assert (row["published_at"], row["rests"]) == (None, "alias_taken")
    await stage.deliver()
    assert (await stage.row(deliveries))["blocked_reason"] == "not_approved"
    with pytest.raises(NotFound):
        await services.find(stage.broker, "umbrella-org/release")
    with pytest.raises(Conflict, match="alias"):
        await services.publish(stage.broker, ME, PROVIDER, Publication(RELEASE, "release"))
    await services.edit(stage.broker, ME, SERVICE, {"alias": "north-star"})
    again = await services.publish(stage.broker, ME, PROVIDER, Publication(RELEASE, "release"))
    assert (again.published, again.rests) == (True, None)


async def test_what_is_disallowed_or_disabled_leaves_no_more(stage: Stage) -> None:
    there = people(stage)
    await stage.serve()
    with pytest.raises(AccessDenied):
        await workflows.disallow(stage.broker, there.wes, PROVIDER, RELEASE)
    await stage.finish_run("build")
    await stage.prepare()
    assert await workflows.disallow(stage.broker, there.ada, PROVIDER, RELEASE)
    assert not await workflows.disallow(stage.broker, there.ada, PROVIDER, RELEASE)
    await stage.deliver()
    assert (await stage.row(deliveries))["blocked_reason"] == "not_allowed"
    await workflows.allow(stage.broker, there.ada, PROVIDER, RELEASE)
    await stage.finish_run("build")
    await stage.prepare()
    await repositories.disable(stage.broker, there.mia, CONSUMER, "consumer")
    await stage.deliver()
    blocked = [row["blocked_reason"] for row in await stage.rows(deliveries)]
    assert sorted(blocked) == ["not_allowed", "not_approved"]


async def test_lists_and_names_are_checked(stage: Stage) -> None:
    there, all_of_them = people(stage), RepositoryFilter()
    await stage.publish()
    for limit in (0, 1001):
        with pytest.raises(InvalidInput):
            await services.list_services(stage.broker, ME, limit=limit)
        with pytest.raises(InvalidInput):
            await repositories.list_repositories(stage.broker, ME, Page(limit), all_of_them)
    with pytest.raises(InvalidInput, match="no id of this list"):
        await services.list_services(stage.broker, ME, after="svc_1")
    with pytest.raises(InvalidInput, match="OWNER/SLUG"):
        await services.show(stage.broker, ME, "release")
    listed = await repositories.list_repositories(stage.broker, ME, Page(10), all_of_them)
    assert [row["repository"] for row in listed] == [PROVIDER]
    owner = PROVIDER.partition("/")[0]
    for page, wanted, names in (
        (Page(before=PROVIDER), all_of_them, []),
        (Page(), RepositoryFilter(owner.upper(), "provider"), [PROVIDER]),
        (Page(), RepositoryFilter(owner[:-1]), []),  # the beginning of a login is none
        (Page(), RepositoryFilter("%"), []),
        (Page(), RepositoryFilter(part="consumer"), []),
    ):
        found = await repositories.list_repositories(stage.broker, ME, page, wanted)
        assert [row["repository"] for row in found] == names
    assert (await repositories.show(stage.broker, there.ada, PROVIDER))["provider"] is True
    await services.edit(stage.broker, ME, SERVICE, {"visibility": "private"})
    assert await services.list_services(stage.broker, there.eve) == []
    with pytest.raises(NotFound, match="no service"):
        await services.unpublish(stage.broker, there.eve, SERVICE)
    assert [row["listed"] for row in await services.list_services(stage.broker, ME)] == [True]


async def test_disabling_twice_is_disabling(stage: Stage) -> None:
    await stage.publish()
    for _ in range(2):
        assert not (await repositories.disable(stage.broker, ME, PROVIDER)).provider
    rows = await stage.broker.database.query(
        lambda c: list(c.execute(select(audit.c.verb)).scalars())
    )
    assert rows.count("person:repository:disabled") == 1
    with pytest.raises(NotFound):
        await repositories.disable(stage.broker, ME, "aurora-labs/unheard-of")


async def test_an_invited_consumer_finds_a_hidden_source_by_its_alias_alone(stage: Stage) -> None:
    there = people(stage)
    await stage.publish()
    hidden = {"alias": "northern-lights", "hidden_source": True, "visibility": "private"}
    await services.edit(stage.broker, ME, SERVICE, hidden)
    await subscriptions.invite(stage.broker, ME, Ends(SERVICE, CONSUMER))
    shown = await services.show(stage.broker, there.mia, "northern-lights/release", CONSUMER)
    assert "repository" not in shown
    with pytest.raises(NotFound, match="no service"):
        await services.show(stage.broker, there.mia, SERVICE, CONSUMER)


async def test_the_people_of_an_organization_find_its_own(stage: Stage) -> None:
    there = people(stage)
    await stage.publish()
    await services.edit(stage.broker, ME, SERVICE, {"visibility": "organization"})
    sibling = stage.github.repository(stage.provider.owner, "mobile-app", private=True)
    world = stage.github.core.world
    stage.github.grant(sibling, world.accounts[there.eve.id], "admin")
    await repositories.enable(stage.broker, ME, sibling.full_name, "consumer")
    shown = await services.show(stage.broker, there.eve, SERVICE, sibling.full_name)
    assert shown["service"] == SERVICE
    with pytest.raises(NotFound, match="no service"):
        await services.show(stage.broker, there.eve, SERVICE)


@pytest.mark.parametrize("name", ["/release", "release", "-/release", " /release"])
async def test_no_name_leads_to_an_account_that_lost_its_own(stage: Stage, name: str) -> None:
    await stage.publish()
    taker = Account(stage.consumer.owner.id, stage.provider.owner.login, "Organization")

    def take(connection: Connection, rows: Sequence[Account]) -> list[None]:
        for row in rows:
            mirror.put_account(connection, row, stage.clock.now())
        return [None] * len(rows)

    await stage.broker.database.write(take, taker)
    with pytest.raises(InvalidInput, match="write OWNER/SLUG"):
        await services.find(stage.broker, name)
    with pytest.raises(InvalidInput, match="write OWNER/SLUG"):
        await pauses.pause(stage.broker, ME, pauses.Target(service=name))


async def test_a_schema_is_checked_when_it_is_set_and_its_messages_when_they_come(
    stage: Stage,
) -> None:
    await stage.serve("*")
    run = await stage.finish_run("build")
    await stage.listen()
    for wrong in ('{"type": "text"}', '{"$ref": "https://example.org/s"}', "{" + " " * 32_768):
        with pytest.raises(InvalidInput, match=r"schema|\$ref|type"):
            await services.edit(stage.broker, ME, SERVICE, {"message_schema": wrong})
    schema = {"type": "object", "required": ["version"]}
    text = json.dumps(schema)
    await services.edit(stage.broker, ME, SERVICE, {"message_schema": text})
    assert (await services.show(stage.broker, ME, SERVICE))["message_schema"] == schema
    with pytest.raises(MessageRefused, match=r"does not fit #/required \(it lacks version\)"):
        await stage.post(run, b"{}")
    assert not (await stage.post(run, b'{"version": 1}')).duplicate
    await services.edit(stage.broker, ME, SERVICE, {"message_schema": None})
    assert not (await stage.post(run, b"{}")).duplicate
