"""Replay: what is sent again, who may have it, and what keeps it back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import select, update

from tests.db.rows import at_once, open_transaction, until, waiting_for_lock
from tests.operations.people import people
from tests.stage import ME, SERVICE, open_stage
from zekt_bot.db import replays
from zekt_bot.db.database import open_database
from zekt_bot.db.tables import audit, deliveries, envelopes
from zekt_bot.db.tables import replays as replay_rows
from zekt_bot.domain.deliveries import FINAL, SENDABLE
from zekt_bot.domain.lanes import Pace
from zekt_bot.domain.replays import Wanted
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, NotFound
from zekt_bot.operations import repositories, subscriptions
from zekt_bot.operations.replay import count, finish, let_provider, replay, replay_many
from zekt_bot.operations.subscription_parties import Ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Table

    from tests.stage import Stage
    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.audit import Entry

EVERYTHING = Wanted()


def set_all(connection: Connection, rows: Sequence[tuple[Table, dict[str, Any]]]) -> list[None]:
    for table, values in rows:
        connection.execute(update(table).values(**values))
    return [None] * len(rows)


async def sent(stage: Stage, times: int = 1) -> list[str]:
    """Ids of so many deliveries, which are dispatched."""
    await stage.serve()
    for _ in range(times):
        await stage.finish_run("build")
        await stage.flow()
        stage.clock.advance(timedelta(seconds=5))
    return [row["id"] for row in await stage.rows(deliveries)]


def never() -> bool:
    return False


async def put(stage: Stage, table: Table, **values: Any) -> None:
    await stage.broker.database.write(set_all, (table, values))


def received(stage: Stage) -> list[dict[str, Any]]:
    """What the consumer was sent, in order."""
    return [each.client_payload["zekt"] for each in stage.github.dispatches]


async def test_it_is_sent_again_under_another_id_and_the_original_stays(stage: Stage) -> None:
    (original,) = await sent(stage)
    before = await stage.row(deliveries)
    made = await replay(stage.broker, ME, original)
    await stage.deliver()
    first, second = received(stage)
    assert (first["isReplay"], second["isReplay"]) == (False, True)
    assert second["deliveryId"] == made
    assert {**first, "isReplay": True, "deliveryId": made} == second
    kept, new = await stage.rows(deliveries)
    assert kept == before
    assert (new["state"], new["replay_no"], new["attempts"]) == ("dispatched", 1, 1)
    (entry,) = [row for row in await stage.rows(audit) if row["verb"] == "person:delivery:replayed"]
    assert (entry["actor"], entry["delivery_id"]) == (ME.actor, made)
    assert orjson.loads(entry["details"])["original"] == original


async def test_each_replay_has_the_next_number(stage: Stage) -> None:
    (original,) = await sent(stage)
    for _ in range(2):
        await replay(stage.broker, ME, original)
        await stage.deliver()
    assert sorted(row["replay_no"] for row in await stage.rows(deliveries)) == [0, 1, 2]


@pytest.mark.parametrize("state", sorted(FINAL))
async def test_every_final_state_can_be_replayed(stage: Stage, state: str) -> None:
    (original,) = await sent(stage)
    await put(stage, deliveries, state=state)
    await replay(stage.broker, ME, original)
    assert [row["state"] for row in await stage.rows(deliveries)] == [state, "pending"]


@pytest.mark.parametrize("state", sorted(SENDABLE))
async def test_what_is_still_being_sent_is_not_doubled(stage: Stage, state: str) -> None:
    (original,) = await sent(stage)
    made = await replay(stage.broker, ME, original)
    with pytest.raises(Conflict, match=made):
        await replay(stage.broker, ME, original)
    await put(stage, deliveries, state=state)
    with pytest.raises(Conflict, match="wait for its end"):
        await replay(stage.broker, ME, made)
    assert (await count(stage.broker, ME, EVERYTHING)).total == 0


async def test_the_policy_is_asked_again(stage: Stage) -> None:
    (original,) = await sent(stage)
    await subscriptions.end(stage.broker, ME, "revoke", Ends(SERVICE, stage.consumer.full_name))
    await replay(stage.broker, ME, original)
    await stage.deliver()
    assert len(received(stage)) == 1
    assert (await stage.rows(deliveries))[1]["blocked_reason"] == "not_approved"


async def test_what_has_no_payload_any_more_is_refused(stage: Stage) -> None:
    (original,) = await sent(stage)
    await put(stage, envelopes, body=b"", body_gone_at=stage.clock.now())
    with pytest.raises(Conflict, match="deleted by age"):
        await replay(stage.broker, ME, original)
    found = await count(stage.broker, ME, EVERYTHING)
    assert (found.total, found.left_out) == (0, {"payload_gone": 1})


async def test_a_subscription_that_its_consumer_paused_gets_none(stage: Stage) -> None:
    (original,) = await sent(stage)
    await subscriptions.pause(stage.broker, ME, Ends(SERVICE, stage.consumer.full_name))
    with pytest.raises(Conflict, match="resumes it first"):
        await replay(stage.broker, ME, original)
    done = await replay_many(stage.broker, ME, EVERYTHING)
    assert (done["made"], done["left_out"]) == (0, 1)


async def test_replays_at_once_make_one(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    (original,) = await sent(stage)
    both = (replay(stage.broker, ME, original) for _ in range(2))
    answers = await at_once(stage.broker.database, monkeypatch, *both)
    assert len([each for each in answers if isinstance(each, Conflict)]) == 1
    assert len(await stage.rows(deliveries)) == 2


async def test_two_processes_that_replay_at_once_make_one(migrated_postgres: str) -> None:
    async with (
        open_stage(migrated_postgres) as stage,
        open_database(stage.broker.settings, stage.clock) as another,
    ):
        (original,) = await sent(stage)
        brokers = (stage.broker, replace(stage.broker, database=another))
        async with open_transaction(migrated_postgres) as other:
            await other.execute(select(envelopes.c.id).with_for_update())
            both = [asyncio.create_task(replay(each, ME, original)) for each in brokers]
            await until(lambda: waiting_for_lock(stage.broker.database, 2))
            await other.rollback()
        answers = await asyncio.gather(*both, return_exceptions=True)
        assert len([each for each in answers if isinstance(each, Conflict)]) == 1
        assert len(await stage.rows(deliveries)) == 2


async def test_many_are_counted_and_then_sent_at_the_lanes_pace(stage: Stage) -> None:
    ids = await sent(stage, 3)
    await put(stage, deliveries, state="dead")
    found = await count(stage.broker, ME, Wanted(service=SERVICE, state="dead"))
    assert (found.total, found.states, found.left_out) == (3, {"dead": 3}, {})
    assert [row["id"] for row in await stage.rows(deliveries)] == ids
    done = await replay_many(stage.broker, ME, Wanted(service=SERVICE, state="dead"))
    assert (done["made"], done["left_out"]) == (3, 0)
    stage.pace = Pace(per_minute=60, burst=1, in_flight=50)
    went = []
    for _ in range(8):
        stage.clock.advance(timedelta(seconds=1))
        went.append(len(await stage.works()))
    assert (max(went), sum(went)) == (1, 3)
    assert [row["state"] for row in await stage.rows(deliveries)][:3] == ["dead"] * 3


async def test_filters_let_less_through(stage: Stage) -> None:
    began = stage.clock.now()
    ids = await sent(stage, 3)
    held = (await stage.rows(deliveries))[0]["cause_id"]
    later = began + timedelta(seconds=4)
    for wanted, many in (
        (Wanted(subscription=held), 3),
        (Wanted(repository=stage.consumer.full_name), 3),
        (Wanted(service=SERVICE, repository=stage.consumer.full_name), 3),
        (Wanted(repository=stage.provider.full_name), 0),
        (Wanted(state="failed"), 0),
        (Wanted(since=later), 2),
        (Wanted(until=later), 1),
        (Wanted(since=later, until=later + timedelta(seconds=5)), 1),
    ):
        assert (await count(stage.broker, ME, wanted)).total == many, wanted
    for wrong in (
        Wanted(subscription=held, service=SERVICE),
        Wanted(subscription=held, service=""),
        Wanted(service=""),  # a variable that is not set: never all there is
        Wanted(repository=""),
        Wanted(service="", repository=""),
        Wanted(state="pending"),
    ):
        with pytest.raises(InvalidInput):
            await count(stage.broker, ME, wrong)
    for nothing in (
        Wanted(subscription="sub_nothing"),
        Wanted(subscription=""),
        Wanted(service="aurora-labs/other"),
        Wanted(repository="kestrel-bank/other"),
    ):
        with pytest.raises(NotFound):
            await count(stage.broker, ME, nothing)
    with pytest.raises(NotFound):
        await replay(stage.broker, ME, "dlv_nothing")
    assert [row["id"] for row in await stage.rows(deliveries)] == ids


async def test_a_process_that_dies_between_pages_loses_and_doubles_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "PAGE", 2)
    await sent(stage, 5)
    dying = asyncio.ensure_future(replay_many(stage.broker, ME, EVERYTHING))

    def die(entries: Sequence[Entry]) -> None:
        if entries[0].verb == "person:delivery:replayed":
            dying.cancel()

    stage.broker.database.on_audited(die)
    with pytest.raises(asyncio.CancelledError):
        await dying
    assert len(await stage.rows(deliveries)) == 5 + 2
    stage.clock.advance(timedelta(minutes=1))
    await asyncio.gather(*(finish(stage.broker, never) for _ in range(2)))
    found = await stage.rows(deliveries)
    assert len({(row["envelope"], row["replay_no"]) for row in found}) == len(found) == 10
    row = await stage.row(replay_rows)
    assert (row["made"], row["left_out"], row["finished_at"]) == (5, 0, stage.clock.now())
    await finish(stage.broker, never)
    assert len(await stage.rows(deliveries)) == 10


async def test_a_worker_that_stops_leaves_the_rest_to_the_next_one(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "PAGE", 2)
    await sent(stage, 5)
    await begun(stage)
    stops = iter([False, True])
    await finish(stage.broker, lambda: next(stops))
    assert len(await stage.rows(deliveries)) == 5 + 2
    await finish(stage.broker, never)
    assert len(await stage.rows(deliveries)) == 5 + 5


async def begun(stage: Stage) -> None:
    """A replay of everything, of which nothing was written yet when its process died."""
    dying = asyncio.ensure_future(replay_many(stage.broker, ME, EVERYTHING))

    def die(entries: Sequence[Entry]) -> None:
        if entries[0].verb == "person:replay:requested":
            dying.cancel()

    stage.broker.database.on_audited(die)
    with pytest.raises(asyncio.CancelledError):
        await dying
    assert len(await stage.rows(deliveries)) == 5


async def test_what_is_written_was_found_before_and_is_asked_by_its_ids(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sent(stage, 3)
    asked: list[int | None] = []
    read = replays.page

    def page(connection: Connection, which: replays.Selection, of: Any = None) -> Any:
        asked.append(None if of is None else len(of))
        return read(connection, which, of)

    monkeypatch.setattr(replays, "page", page)
    assert (await replay_many(stage.broker, ME, EVERYTHING))["made"] == 3
    assert asked == [None, 3]


async def test_a_page_whose_facts_move_is_read_anew(stage: Stage) -> None:
    """Each of two replays of many sees what the other has made."""
    await sent(stage, 3)
    both = (replay_many(stage.broker, ME, EVERYTHING) for _ in range(2))
    done = await asyncio.gather(*both)
    assert sorted(each["made"] for each in done) == [0, 3]


async def test_who_may_replay_one(stage: Stage) -> None:
    there = people(stage)
    (original,) = await sent(stage)
    for who in (there.ada, there.mia):
        await replay(stage.broker, who, original)
        await stage.deliver()
    for who in (there.wes, there.eve):
        for delivery in (original, "dlv_nothing"):
            with pytest.raises(AccessDenied):
                await replay(stage.broker, who, delivery)
    assert len(received(stage)) == 3


async def test_a_consumer_may_refuse_its_provider(stage: Stage) -> None:
    there = people(stage)
    (original,) = await sent(stage)
    held = (await stage.row(deliveries))["cause_id"]
    ends = Ends(SERVICE, stage.consumer.full_name)
    with pytest.raises(AccessDenied):
        await let_provider(stage.broker, there.ada, ends, allowed=False)
    await let_provider(stage.broker, there.mia, ends, allowed=False)
    with pytest.raises(Conflict, match="already"):
        await let_provider(stage.broker, there.mia, ends, allowed=False)
    with pytest.raises(AccessDenied):
        await replay(stage.broker, there.ada, original)
    with pytest.raises(AccessDenied):
        await count(stage.broker, there.ada, Wanted(subscription=held))
    found = await count(stage.broker, there.ada, Wanted(service=SERVICE))
    assert (found.total, found.left_out) == (0, {"refused": 1})
    done = await replay_many(stage.broker, there.ada, Wanted(service=SERVICE))
    assert (done["made"], done["left_out"]) == (0, 1)
    await replay(stage.broker, there.mia, original)
    await stage.deliver()
    await let_provider(stage.broker, there.mia, ends, allowed=True)
    await replay(stage.broker, there.ada, original)


@pytest.mark.parametrize("named", ["service", "subscription", "repository", "both"])
async def test_who_may_replay_many(stage: Stage, named: str) -> None:
    there = people(stage)
    await sent(stage)
    held, consumer = (await stage.row(deliveries))["cause_id"], stage.consumer.full_name
    wanted = {
        "service": Wanted(service=SERVICE),
        "subscription": Wanted(subscription=held),
        "repository": Wanted(repository=consumer),
        "both": Wanted(service=SERVICE, repository=consumer),
    }[named]
    may: dict[str, set[Principal]] = {
        "service": {there.ada},
        "repository": {there.mia},
    }
    for who in (there.ada, there.mia, there.wes, there.eve):
        if who in may.get(named, {there.ada, there.mia}):
            assert (await count(stage.broker, who, wanted)).total == 1
        else:
            with pytest.raises((AccessDenied, NotFound)):
                await count(stage.broker, who, wanted)
            with pytest.raises((AccessDenied, NotFound)):
                await replay_many(stage.broker, who, wanted)
    assert await stage.rows(replay_rows) == []


async def test_a_person_names_something(stage: Stage) -> None:
    with pytest.raises(AccessDenied, match="name one"):
        await count(stage.broker, people(stage).mia, EVERYTHING)


async def test_what_consent_no_longer_covers_is_blocked(stage: Stage) -> None:
    (original,) = await sent(stage)
    await repositories.disable(stage.broker, ME, stage.provider.full_name)
    await replay(stage.broker, ME, original)
    await stage.deliver()
    assert (await stage.rows(deliveries))[1]["state"] == "blocked"


@pytest.mark.parametrize("end", ["provider", "consumer"])
async def test_what_was_sent_between_former_owners_reaches_no_new_one(
    stage: Stage, end: str
) -> None:
    (original,) = await sent(stage)
    other = stage.github.account("other-org")
    await stage.github.install(stage.app, other)
    await stage.github.transfer(getattr(stage, end), other)
    await stage.listen()
    ends = Ends("other-org/release" if end == "provider" else SERVICE, stage.consumer.full_name)
    if end == "provider":
        await stage.publish()
    else:
        await subscriptions.request(stage.broker, ME, ends)
    await subscriptions.approve(stage.broker, ME, ends)
    made = await replay(stage.broker, ME, original)
    for _ in range(2):  # first to the lane of the new installation
        await stage.deliver()
    (new,) = [row for row in await stage.rows(deliveries) if row["id"] == made]
    assert (new["state"], new["blocked_reason"]) == ("blocked", "not_approved")
    await stage.finish_run("build")
    await stage.flow()
    assert len(received(stage)) == 2  # what comes from then on is sent
