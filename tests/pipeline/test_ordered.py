"""Ordered subscriptions: one after the other, whatever becomes of each and whoever sends."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import pytest
from sqlalchemy import update

from tests.db.rows import put
from tests.operations.subscribing import ENDS
from tests.pipeline.sending import DISPATCHES, execute
from tests.stage import LEASE, ME
from zekt_bot import hookimpl
from zekt_bot.db.retention import delete_deliveries
from zekt_bot.db.tables import deliveries
from zekt_bot.domain.deliveries import Delivery
from zekt_bot.domain.subscriptions import Durable, Ordered
from zekt_bot.errors import Conflict, InvalidInput
from zekt_bot.operations import erasure, pauses, subscriptions, unproven
from zekt_bot.operations.durability import make_durable
from zekt_bot.operations.ordering import look, make_ordered
from zekt_bot.operations.preflight.findings import RUN_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from tests.stage import Stage

WHEN: tuple[Literal["before", "after"], ...] = ("before", "after")
NAMED = RUN_NAME.removeprefix("run-name: ")


async def ordered(stage: Stage, terms: Ordered, events: int = 3) -> list[str]:
    """So many events for an ordered subscription; the ids of their deliveries, in their order."""
    await stage.serve("*")
    await make_ordered(stage.broker, ME, ENDS, terms, force=True)
    for _ in range(events):
        await stage.finish_run("build")
        await stage.prepare()
        stage.clock.advance(timedelta(seconds=1))
    rows = sorted(await stage.rows(deliveries), key=lambda row: row["envelope"])
    return [row["id"] for row in rows]


async def states(stage: Stage) -> list[tuple[str, str | None]]:
    rows = sorted(await stage.rows(deliveries), key=lambda row: row["envelope"])
    return [(row["state"], row["waits_for"]) for row in rows]


def sent(stage: Stage) -> list[str]:
    return [one.client_payload["zekt"]["deliveryId"] for one in stage.github.dispatches]


async def test_the_next_goes_when_the_former_is_dispatched(stage: Stage) -> None:
    ids = await ordered(stage, Ordered())
    assert await states(stage) == [("pending", None), *[("pending", "sequence")] * 2]
    for number in range(3):
        assert len(await stage.deliver()) == 1
        assert sent(stage) == ids[: number + 1]
    assert await stage.works() == []
    assert {row["sequence_key"] for row in await stage.rows(deliveries)} == {None}


async def test_a_retry_holds_up_those_behind_it(stage: Stage) -> None:
    ids = await ordered(stage, Ordered(), 2)
    stage.github.fail("POST", DISPATCHES, status=502)
    await stage.deliver()
    assert await stage.works() == []
    stage.clock.advance(timedelta(seconds=10))
    await stage.deliver()
    await stage.deliver()
    assert sent(stage) == ids


@pytest.mark.parametrize("stops", [False, True], ids=["passed over", "stops"])
async def test_a_dead_one_is_passed_over_or_stops(stage: Stage, stops: bool) -> None:
    ids = await ordered(stage, Ordered(stops=stops), 2)
    stage.github.fail("POST", DISPATCHES, status=422)
    await stage.deliver()
    await stage.deliver()
    assert sent(stage) == ([] if stops else ids[1:])
    if stops:
        await make_ordered(stage.broker, ME, ENDS, Ordered())
        await look(stage.broker)
        await stage.deliver()
        assert sent(stage) == ids[1:]


async def test_the_next_goes_when_the_formers_run_has_ended(stage: Stage) -> None:
    path = ".github/workflows/react.yml"
    stage.github.add_workflow(stage.consumer, path, on_dispatch_types=("*",), run_name=NAMED)
    ids = await ordered(stage, Ordered("ended"), 2)
    await stage.deliver()
    await stage.github.settle()
    await stage.listen()
    assert await stage.works() == []
    await stage.github.runs[-1].complete()
    await stage.listen()
    await stage.deliver()
    assert sent(stage) == ids


async def test_a_run_that_never_ends_is_given_up(stage: Stage) -> None:
    ids = await ordered(stage, Ordered("ended", timedelta(hours=1)), 2)
    await stage.deliver()
    await look(stage.broker)
    assert await stage.works() == []
    stage.clock.advance(timedelta(hours=1))
    await look(stage.broker)
    await stage.deliver()
    assert sent(stage) == ids


async def test_the_next_goes_when_the_former_is_erased(stage: Stage) -> None:
    ids = await ordered(stage, Ordered(stops=True), 3)
    stage.github.fail("POST", DISPATCHES, status=422)
    await stage.deliver()
    await look(stage.broker)
    assert await stage.works() == []
    await stage.broker.database.write(erase_delivery, ids[0])
    await look(stage.broker)
    await stage.deliver()
    await stage.deliver()
    assert sent(stage) == ids[1:]


async def test_an_account_is_erased_with_what_it_has_in_sequence(stage: Stage) -> None:
    await ordered(stage, Ordered(), 3)
    await erasure.erase(stage.broker, ME, "kestrel-bank")
    await look(stage.broker)
    assert (await stage.works(), await stage.rows(deliveries)) == ([], [])


def erase_delivery(connection: Connection, rows: Sequence[str]) -> list[None]:
    """As erasing an account and retention do, of one alone."""
    delete_deliveries(connection, rows)
    return [None] * len(rows)


async def test_what_is_ordered_no_longer_goes_at_once(stage: Stage) -> None:
    ids = await ordered(stage, Ordered("ended"), 4)
    await stage.deliver()
    await make_ordered(stage.broker, ME, ENDS, None)
    await look(stage.broker)
    await stage.deliver()
    assert sorted(sent(stage)) == sorted(ids)


@pytest.mark.parametrize("terms", [Ordered(stops=True), Ordered("ended")], ids=["stop", "ended"])
async def test_what_waits_when_consent_ends_is_blocked(stage: Stage, terms: Ordered) -> None:
    await ordered(stage, terms)
    if terms.stops:
        stage.github.fail("POST", DISPATCHES, status=422)
    await stage.deliver()
    first = sent(stage)
    await subscriptions.end(stage.broker, ME, "revoke", ENDS)
    await look(stage.broker)
    await stage.deliver()
    assert await states(stage) == [
        ("dead" if terms.stops else "dispatched", None),
        *[("blocked", None)] * 2,
    ]
    await subscriptions.request(stage.broker, ME, ENDS)
    await subscriptions.approve(stage.broker, ME, ENDS)
    await stage.finish_run("build")
    await stage.flow()
    assert len(sent(stage)) == len(first) + 1
    assert first == sent(stage)[:-1]


async def test_what_is_blocked_at_match_holds_up_nobody(stage: Stage) -> None:
    stage.broker.plugins.register(Picky(), "picky")
    await stage.serve("*")
    await make_ordered(stage.broker, ME, ENDS, Ordered())
    await stage.finish_run("build", head_branch="poison")
    await stage.flow()
    stage.clock.advance(timedelta(seconds=1))
    await stage.finish_run("build")
    await stage.flow()
    assert await states(stage) == [("blocked", None), ("dispatched", None)]
    assert {row["sequence_key"] for row in await stage.rows(deliveries)} == {None}


class Picky:
    """A plugin that blocks the deliveries of one branch."""

    @hookimpl
    def zekt_block_reason(self, subject: object, facts: Any) -> str | None:
        ran = facts.run.ran if isinstance(subject, Delivery) else None
        return "no_poison" if ran and ran.head_branch == "poison" else None


async def test_more_than_a_unit_lets_go_are_let_go_in_some(stage: Stage) -> None:
    (first, *_) = await ordered(stage, Ordered(stops=True), 1)
    stage.github.fail("POST", DISPATCHES, status=422)
    await stage.deliver()
    row = next(iter(await stage.rows(deliveries)))
    behind = {"state": "pending", "waits_for": "sequence", "reason": None}
    more = [{**row, **behind, "id": f"{first[:-5]}u{n:04}", "replay_no": n} for n in range(1, 511)]
    await stage.broker.database.write(put, (deliveries, more))
    await make_ordered(stage.broker, ME, ENDS, None)
    for left in (11, 0):
        await look(stage.broker)
        rows = await stage.rows(deliveries)
        assert sum(row["waits_for"] == "sequence" for row in rows) == left


async def test_ordered_and_durable_at_once(stage: Stage) -> None:
    ids = await ordered(stage, Ordered("ended", timedelta(hours=1)), 2)
    await make_durable(stage.broker, ME, ENDS, Durable(sends=2), force=True)
    await stage.deliver()
    for times in (1, 2):
        assert sent(stage) == ids[:1] * times
        stage.clock.advance(timedelta(minutes=10))
        assert await unproven.send_again(stage.broker) == 1
        await stage.deliver()
    assert sent(stage) == [ids[0], ids[0], ids[1]]  # the first is dead, and passed over


async def test_a_pause_keeps_the_order(stage: Stage) -> None:
    ids = await ordered(stage, Ordered())
    await pauses.pause(stage.broker, ME, pauses.Target())
    await stage.deliver()
    assert (await states(stage))[0] == ("pending", "pause")
    await pauses.resume(stage.broker, ME, pauses.Target())
    for _ in ids:
        await stage.deliver()
    assert sent(stage) == ids


@pytest.mark.parametrize("seed", range(3))
async def test_the_order_stands_under_retries_crashes_and_many_workers(
    stage: Stage, seed: int
) -> None:
    chance = random.Random(seed)
    ids = await ordered(stage, Ordered(stops=True), 6)
    for _ in range(200):
        if len(set(sent(stage))) == len(ids):
            break
        if chance.random() < 0.4:
            stage.github.fail("POST", DISPATCHES, status=502, when=chance.choice(WHEN))
        works = await stage.works()
        assert len(works) <= 1
        if works and chance.random() < 0.3:
            stage.clock.advance(LEASE)  # its worker dies, before or after its POST
            again = await stage.works()
            await asyncio.gather(*(stage.send(work) for work in [*works, *again]))
        else:
            await asyncio.gather(*(stage.send(work) for work in works))
        stage.clock.advance(timedelta(minutes=chance.choice([0, 1, 30])))
    assert list(dict.fromkeys(sent(stage))) == ids
    firsts = [ids.index(one) for one in sent(stage)]
    assert firsts == sorted(firsts)


async def test_what_comes_late_waits_behind_the_one_that_is_on_its_way(stage: Stage) -> None:
    ids = await ordered(stage, Ordered(), 2)
    other = update(deliveries).where(deliveries.c.id == ids[1])
    await execute(stage, other.values(sequence_key=None, waits_for=None))
    (work,) = await stage.works()
    subscription = (await stage.rows(deliveries))[0]["cause_id"]
    await execute(stage, other.values(sequence_key=subscription, waits_for="sequence"))
    await look(stage.broker)
    assert await stage.works() == []
    await stage.send(work)
    await stage.deliver()
    assert sent(stage) == ids


@pytest.mark.parametrize("within", [timedelta(seconds=59), timedelta(days=8)])
async def test_its_bounds_are_kept(stage: Stage, within: timedelta) -> None:
    await stage.serve()
    with pytest.raises(InvalidInput):
        await make_ordered(stage.broker, ME, ENDS, Ordered(within=within))


async def test_without_a_run_whose_end_could_be_known_it_is_refused(stage: Stage) -> None:
    await stage.serve()
    with pytest.raises(Conflict, match="the next waits as long as set"):
        await make_ordered(stage.broker, ME, ENDS, Ordered("ended"))
    path = ".github/workflows/react.yml"
    stage.github.add_workflow(stage.consumer, path, on_dispatch_types=("*",), run_name=NAMED)
    held = await make_ordered(stage.broker, ME, ENDS, Ordered("ended"))
    assert held.ordered == Ordered("ended")
