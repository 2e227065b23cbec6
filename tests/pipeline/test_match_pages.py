"""Fan-out: a crowd of subscribers is told in pages, each exactly once, whatever breaks."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tests.db.rows import put
from tests.db.statements import hearing
from tests.pipeline.between import aggregated
from tests.stage import open_stage
from zekt_bot.app import open_broker
from zekt_bot.db.subscriptions import subscribers
from zekt_bot.db.tables import deliveries, envelopes, repositories, services, subscriptions
from zekt_bot.domain.lanes import spread
from zekt_bot.pipeline.fan_out import PAGE
from zekt_bot.pipeline.match import match

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot.domain.catalog import Service

LEASE = timedelta(seconds=60)


async def crowd(stage: Stage, service: Service, count: int) -> None:
    """That many approved subscribers, all of the consumer's installation."""
    known = dict((await stage.rows(repositories))[-1])
    known |= {"account_id": stage.consumer.owner.id, "installation_id": stage.consuming.id}
    names = [f"{stage.consumer.owner.login}/repo-{n}" for n in range(count)]
    owned = [
        {**known, "id": 10**9 + n, "full_name": name, "full_name_lower": name.lower()}
        for n, name in enumerate(names)
    ]
    for row in owned:
        row["consumer_enabled_at"] = stage.clock.now()
    held = [
        {
            "id": f"sub_{n:026}",
            "service_id": service.id,
            "repository_id": row["id"],
            "channel": "repository_dispatch",
            "event_types": '["zekt-workflow-completed"]',
            "filters": "{}",
            "created_at": stage.clock.now(),
            "state": "approved",
            "version": 1,
        }
        for n, row in enumerate(owned)
    ]
    await stage.broker.database.write(put, (repositories, owned))
    await stage.broker.database.write(put, (subscriptions, held))


async def crowded(stage: Stage, count: int) -> set[str]:
    """An envelope before a crowd; answers the subscriptions' ids."""
    service = await stage.publish()
    await stage.subscribe(approve=False)  # the consumer is known now
    await crowd(stage, service, count - 1)
    await stage.finish_run("build")
    await stage.listen()
    await aggregated(stage)
    return {row["id"] for row in await stage.rows(subscriptions)}


async def causes(stage: Stage) -> Sequence[str]:
    return [row["cause_id"] for row in await stage.rows(deliveries)]


@pytest.mark.parametrize("count", [PAGE - 1, PAGE, 2 * PAGE + 1])
async def test_a_crowd_is_told_in_pages_each_exactly_once(stage: Stage, count: int) -> None:
    held = await crowded(stage, count)
    stage.clock.advance(timedelta(minutes=10))  # after an outage, too, others have room beside it
    told = []
    while ids := await stage.claim("envelopes"):
        assert await match(stage.broker, ids, stage.pace, stage.kept) == {}
        told.append(len(await causes(stage)))
    assert told == [min(n * PAGE, count) for n in range(1, count // PAGE + 2)]
    found = await causes(stage)
    assert (len(found), set(found)) == (count, held)
    envelope = await stage.row(envelopes)
    assert envelope["fanned_out_to"] == max(held)
    due = sorted(row["due_at"] for row in await stage.rows(deliveries) if row["due_at"])
    approved = range(count - 1)  # the last one is not
    assert due == [stage.clock.now() + spread(number) for number in approved]


async def test_a_worker_that_dies_between_pages_loses_and_repeats_nothing(stage: Stage) -> None:
    held = await crowded(stage, PAGE + 20)
    assert await stage.match() == {}
    assert await stage.claim("envelopes")  # and its worker is gone
    assert await stage.claim("envelopes") == []
    stage.clock.advance(LEASE)
    assert await stage.match() == {}
    found = await causes(stage)
    assert (len(found), set(found)) == (len(held), held)
    assert await stage.claim("envelopes") == []


async def test_two_workers_on_one_envelope_repeat_nothing(stage: Stage) -> None:
    held = await crowded(stage, PAGE + 20)
    (envelope,) = await stage.claim("envelopes")
    async with open_broker(stage.broker.settings, stage.clock) as other:
        answers = await asyncio.gather(
            *(
                match(one, [envelope], stage.pace, stage.kept)
                for one in (stage.broker, other, stage.broker)
            )
        )
    assert answers == [{}] * 3
    assert await match(stage.broker, [envelope], stage.pace, stage.kept) == {}
    found = await causes(stage)
    assert (len(found), set(found)) == (len(held), held)


@pytest.mark.parametrize("waiting", [False, True], ids=["with their runs", "by themselves"])
async def test_many_envelopes_at_once_make_no_unit_of_more_than_a_page(
    migrated_postgres: str, waiting: bool
) -> None:
    async with open_stage(migrated_postgres) as stage:
        held = await crowded(stage, 50)
        for _ in range(5):
            await stage.finish_run("build")
        await stage.listen()
        await (aggregated(stage) if waiting else stage.aggregate())
        assert await stage.match() == {}
        assert len(await causes(stage)) == 6 * len(held)
        per_transaction = text("SELECT count(*) FROM deliveries GROUP BY xmin")
        units = await stage.broker.database.query(
            lambda connection: connection.execute(per_transaction).scalars().all()
        )
        assert max(units) <= PAGE


async def test_envelopes_of_one_page_share_what_was_read(stage: Stage) -> None:
    """Several envelopes of one run and one service: each reaches the subscriber."""
    held = await stage.serve("*")
    run = await stage.finish_run("build")
    for n in range(5):
        await stage.post(run, str(n).encode())
    await stage.prepare()
    rows: Sequence[Mapping[str, Any]] = await stage.rows(deliveries)
    assert len({row["envelope"] for row in rows}) == 5
    assert {row["cause_id"] for row in rows} == {held.id}


async def test_the_first_pages_of_several_services_are_one_question(stage: Stage) -> None:
    one = await stage.publish()
    await stage.subscribe(approve=False)  # the consumer is known now
    await crowd(stage, one, 5)
    ids = sorted(row["id"] for row in await stage.rows(subscriptions))
    other = {"id": "srv_other", "slug": "other", "workflow_path": "other.yml"}
    its = {"id": "sub_other", "service_id": other["id"]}
    for table, changed in ((services, other), (subscriptions, its)):
        row = dict((await stage.rows(table))[0]) | changed
        await stage.broker.database.write(put, (table, [row]))

    def read(connection: Connection, pages: set[tuple[str, str]]) -> tuple[int, dict[Any, Any]]:
        with hearing(connection) as sent:
            found = subscribers(connection, pages, 2)
        asked = sum("subscriptions" in each.text for each in sent)
        return asked, {page: [held.id for held, _ in some] for page, some in found.items()}

    first, its_first, later = (one.id, ""), (other["id"], ""), (one.id, ids[1])
    asked = await stage.broker.database.query(read, {first, its_first})
    assert asked == (1, {first: ids[:2], its_first: [its["id"]]})
    asked = await stage.broker.database.query(read, {first, later})
    assert asked == (2, {first: ids[:2], later: ids[2:4]})
