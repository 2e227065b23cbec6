"""What people want deleted goes though consent stands, and nothing else does."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests import shielding
from tests.operations.news import mirrored
from tests.stage import ME, SERVICE
from zekt_bot.db import consents, tables
from zekt_bot.db import lapses as rows_of
from zekt_bot.db.consents import Stored, Use
from zekt_bot.db.lapses import Deletion
from zekt_bot.db.lists import of_account
from zekt_bot.domain.access import Person
from zekt_bot.domain.audit import Entry
from zekt_bot.domain.sessions import Session
from zekt_bot.errors import Conflict, InvalidInput, NotFound
from zekt_bot.operations import (
    lapses,
    my_consent,
    my_data,
    my_repositories,
    repositories,
    services,
    shield_keys,
)
from zekt_bot.operations import subscriptions as subscription_operations
from zekt_bot.operations.roles import Said
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from tests.stage import Stage
    from zekt_bot.testing import Repository

_ENTRY = Entry("person:repository:purged", "person:1")


async def begin(stage: Stage, repository: Repository, *, older: int = 0) -> bool:
    """As a person who has seen it `older` versions ago."""
    known = await mirrored(stage, repository)
    assert known is not None
    deletion = Deletion({known.id: known.version - older}, [_ENTRY], stage.clock.now())
    return await stage.broker.database.write(rows_of.begin, deletion)


async def left(stage: Stage, *names: str) -> dict[str, int]:
    return {name: len(await stage.rows(getattr(tables, name))) for name in names}


def signed_in(stage: Stage, *managed: Repository) -> Session:
    """Somebody of whom GitHub said that they manage these, within the last minute."""
    person, now = Person(77, "maja-lind"), stage.clock.now()
    session = Session("hash", person, "Firefox", now, now, now + timedelta(days=1), None)
    said = Said({each.id: each.full_name for each in managed})
    stage.broker.roles.keep(person, session.hash, said)
    return session


async def viewed(stage: Stage, session: Session) -> list[my_consent.Consent]:
    return await my_consent.view(stage.broker, await my_repositories.listing(stage.broker, session))


async def exported(stage: Stage, *managed: Repository) -> list[dict[str, Any]]:
    login = managed[0].owner.login
    session = signed_in(stage, *managed)
    return [row async for row in my_data.export(stage.broker, session, login)]


def kinds(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(row["record"] for row in rows)


async def test_what_is_kept_is_counted_at_either_end(stage: Stage) -> None:
    await sent(stage)
    both = signed_in(stage, stage.provider, stage.consumer)
    ends = await viewed(stage, both)
    assert [(each.owned.account.login, each.owned.state, each.stored) for each in ends] == [
        ("aurora-labs", "active", Stored(workflows=1, services=1, subscriptions=1, events=1)),
        ("kestrel-bank", "active", Stored(subscriptions=1)),
    ]


async def test_a_provider_is_given_all_that_is_kept_of_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_account, "PAGE", 1)
    await sent(stage)
    await tell(stage)
    rows = await exported(stage, stage.provider)
    assert kinds(rows) == {
        "account": 1,
        "installation": 1,
        "repository": 1,
        "workflow": 1,
        "service": 1,
        "subscription": 1,
        "event": 2,
        "message": 2,
        "delivery": 2,
    }
    message, _ = [row for row in rows if row["record"] == "message"]
    written = orjson.loads(orjson.dumps(message))
    assert (written["body"], written["event_type"]) == ({"version": "1.4.0"}, "released")
    assert written["redactions"] == []
    assert all("at" not in row for row in rows)
    (told,) = [r for r in await stage.rows(tables.audit) if r["verb"] == "person:account:exported"]
    assert (told["actor"], told["account_id"]) == ("person:77", stage.provider.owner.id)


async def test_a_consumer_is_given_what_came_to_it_and_nothing_of_a_hidden_source(
    stage: Stage,
) -> None:
    await stage.publish()
    hidden = {"alias": "night-owl", "hidden_source": True}
    await services.edit(stage.broker, ME, SERVICE, hidden)
    await subscription_operations.request(
        stage.broker, ME, Ends("night-owl/release", stage.consumer.full_name)
    )
    await subscription_operations.approve(stage.broker, ME, Ends(SERVICE, stage.consumer.full_name))
    await stage.finish_run("build")
    await stage.flow()
    pem = shielding.public_pem(shielding.private_key())
    await shield_keys.add(stage.broker, ME, stage.consumer.full_name, pem)
    rows = await exported(stage, stage.consumer)
    assert kinds(rows) == {
        "account": 1,
        "installation": 1,
        "repository": 1,
        "key": 1,
        "subscription": 1,
        "delivery": 1,
    }
    assert "aurora" not in str(rows)
    assert str(stage.provider.id) not in str(rows)
    assert "night-owl/release" in str(rows)


async def test_between_two_of_the_same_account_each_is_given_once(stage: Stage) -> None:
    own = stage.github.repository(stage.provider.owner, "deploy", private=True)
    await stage.publish()
    await stage.subscribe(own)
    await stage.finish_run("build")
    await stage.flow()
    found = kinds(await exported(stage, stage.provider, own))
    assert (found["subscription"], found["delivery"]) == (1, 1)
    alone = kinds(await exported(stage, own))
    assert (alone["event"], alone["delivery"], alone["service"]) == (0, 1, 0)


async def test_what_was_a_former_owners_stays_theirs(stage: Stage) -> None:
    await sent(stage)
    other = stage.github.account("somebody-else")
    await stage.github.install(stage.app, other)
    await stage.github.transfer(stage.provider, other)
    await stage.flow()
    found = kinds(await exported(stage, stage.provider))
    assert found["repository"] == 1
    assert (found["event"], found["message"], found["delivery"]) == (0, 0, 0)


async def test_whoever_manages_nothing_of_it_is_given_nothing(stage: Stage) -> None:
    await sent(stage)
    session = signed_in(stage, stage.consumer)
    for login in (stage.provider.owner.login, "no-such"):
        with pytest.raises(NotFound):
            await anext(my_data.export(stage.broker, session, login))
        with pytest.raises(NotFound):
            await my_data.delete(stage.broker, session, login, login)


async def test_of_what_one_manages_all_goes_and_the_rest_of_the_account_stays(
    stage: Stage,
) -> None:
    other = stage.github.repository(stage.provider.owner, "other", private=True)
    await sent(stage)
    await repositories.enable(stage.broker, ME, other.full_name)
    session = signed_in(stage, stage.provider)
    login = stage.provider.owner.login
    with pytest.raises(InvalidInput, match=f"Type {login}"):
        await my_data.delete(stage.broker, session, login, "another")
    assert await my_data.delete(stage.broker, session, login, login.upper()) == 1
    assert await my_data.delete(stage.broker, session, login, login) == 0
    assert await lapses.finish(stage.broker) == 1
    kept = await mirrored(stage, other)
    assert kept is not None
    assert kept.provider


OF_A_RUN = ("inbox", "runs", "jobs", "envelopes", "deliveries", "attempts", "messages")
AGREED = ("services", "subscriptions", "allowed_workflows")


async def sent(stage: Stage) -> None:
    await stage.serve("released")
    await tell(stage)


async def tell(stage: Stage) -> None:
    """A run with a message, all the way."""
    run = await stage.finish_run("build")
    await stage.listen()
    await stage.post(run, b'{"version":"1.4.0"}')
    await stage.flow()


async def test_of_a_provider_everything_goes(stage: Stage) -> None:
    await sent(stage)
    assert min((await left(stage, *OF_A_RUN, *AGREED)).values()) > 0
    assert await begin(stage, stage.provider)
    await stage.finish_run("build")
    await stage.flow()  # what comes from that moment on is not stored
    assert await lapses.finish(stage.broker) == 1
    assert set((await left(stage, *OF_A_RUN, *AGREED)).values()) == {0}
    told = [row["verb"] for row in await stage.rows(tables.audit)]
    assert "person:repository:purged" in told
    assert await lapses.finish(stage.broker) == 0
    await stage.serve()  # and it may begin anew
    await stage.finish_run("build")
    await stage.flow()
    assert [row["state"] for row in await stage.rows(tables.deliveries)] == ["dispatched"]


async def test_of_a_consumer_what_came_to_it_goes_and_nothing_is_sent_to_it(stage: Stage) -> None:
    await sent(stage)
    pem = shielding.public_pem(shielding.private_key())
    for whose in (stage.consumer.full_name, stage.consumer.owner.login):
        await shield_keys.add(stage.broker, ME, whose, pem)
    await stage.finish_run("build")
    await stage.take()
    assert await begin(stage, stage.consumer)
    await stage.flow()
    await lapses.finish(stage.broker)
    assert await left(stage, "deliveries", "subscriptions", "services", "shield_keys") == {
        "deliveries": 0,
        "subscriptions": 0,
        "services": 1,
        "shield_keys": 1,  # the account's own stays
    }
    ends = Ends(SERVICE, stage.consumer.full_name)
    with pytest.raises(NotFound):
        await subscription_operations.approve(stage.broker, ME, ends)


async def test_until_all_is_gone_nothing_begins_anew(stage: Stage) -> None:
    await sent(stage)
    await begin(stage, stage.provider)
    with pytest.raises(Conflict):
        await repositories.enable(stage.broker, ME, stage.provider.full_name)
    assert await lapses.finish(stage.broker, lambda: True) == 0
    with pytest.raises(Conflict):
        await repositories.enable(stage.broker, ME, stage.provider.full_name)


async def test_what_changed_since_it_was_decided_on_stays(stage: Stage) -> None:
    await sent(stage)
    before = await left(stage, *OF_A_RUN, *AGREED)
    assert not await begin(stage, stage.provider, older=1)
    stage.clock.advance(timedelta(days=1))
    assert await lapses.finish(stage.broker) == 0
    assert await left(stage, *OF_A_RUN, *AGREED) == before
    known = await mirrored(stage, stage.provider)
    assert known is not None
    assert (known.provider, known.purging) == (True, False)


async def test_what_a_repository_is_used_for_at_either_end(stage: Stage) -> None:
    for each in (stage.provider, stage.consumer):
        await repositories.enable(stage.broker, ME, each.full_name)
    ids = [stage.provider.id, stage.consumer.id]
    known = [each for each in [await mirrored(stage, stage.provider)] if each]
    assert await my_repositories.uses(stage.broker, known) == {stage.provider.id: Use()}
    await sent(stage)
    (run,) = await stage.rows(tables.runs)
    assert await stage.broker.database.query(consents.use_of, ids) == {
        stage.provider.id: Use(services=1, consumers=1, last_event_at=run["received_at"]),
        stage.consumer.id: Use(subscriptions=1),
    }
    ends = Ends(SERVICE, stage.consumer.full_name)
    await subscription_operations.end(stage.broker, ME, "revoke", ends)
    found = await stage.broker.database.query(consents.use_of, ids)
    assert (found[ids[0]].consumers, found[ids[1]].subscriptions) == (0, 0)
