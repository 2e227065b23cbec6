"""Durable subscriptions: what no run confirms is sent again, as often as set, and then dead."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, event, update

from tests.db.rows import put
from tests.operations.people import people
from tests.operations.subscribing import ENDS
from tests.pipeline.missing import lose, recover
from tests.pipeline.sending import execute
from tests.stage import ME
from zekt_bot.db import unproven as rows_of
from zekt_bot.db.tables import audit, deliveries, inbox, subscriptions
from zekt_bot.domain.subscriptions import Durable
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, NotFound
from zekt_bot.operations import subscriptions as operations
from zekt_bot.operations import unproven
from zekt_bot.operations.durability import make_durable
from zekt_bot.operations.preflight.findings import RUN_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection

    from tests.stage import Stage

NAMED = RUN_NAME.removeprefix("run-name: ")
TEN = timedelta(minutes=10)


def react(
    stage: Stage, run_name: str | None = NAMED, file: str = "react.yml", **options: Any
) -> None:
    named: Any = {"run_name": run_name} if run_name else {}
    path = f".github/workflows/{file}"
    stage.github.add_workflow(stage.consumer, path, on_dispatch_types=("*",), **named, **options)


@contextmanager
def commits() -> Iterator[list[Connection]]:
    """The transactions that were committed meanwhile, reads too."""
    seen: list[Connection] = []

    def committed(connection: Connection) -> None:
        seen.append(connection)

    event.listen(Engine, "commit", committed)
    yield seen
    event.remove(Engine, "commit", committed)


async def durable(stage: Stage, *, sends: int = 3, force: bool = True) -> None:
    """A durable subscription, and an event that was sent once."""
    await stage.serve()
    await make_durable(stage.broker, ME, ENDS, Durable(TEN, sends), force=force)
    await stage.finish_run("build")
    await stage.flow()
    await stage.github.settle()


async def row(stage: Stage) -> Mapping[str, Any]:
    return await stage.row(deliveries)


async def overdue(stage: Stage) -> int:
    stage.clock.advance(TEN)
    return await unproven.send_again(stage.broker)


async def test_what_no_run_confirms_is_sent_again_and_dead_at_last(stage: Stage) -> None:
    await durable(stage, sends=2)
    stage.clock.advance(TEN - timedelta(seconds=1))
    assert await unproven.send_again(stage.broker) == 0
    stage.clock.advance(timedelta(seconds=1))
    assert await unproven.send_again(stage.broker) == 1
    found = await row(stage)
    assert (found["state"], found["reason"], found["due_at"]) == (
        "pending",
        "unconfirmed",
        stage.clock.now(),
    )
    await stage.deliver()
    assert (await row(stage))["state"] == "dispatched"
    ids = {one.client_payload["zekt"]["deliveryId"] for one in stage.github.dispatches}
    assert (len(stage.github.dispatches), ids) == (2, {found["id"]})
    assert await overdue(stage) == 1
    found = await row(stage)
    assert (found["state"], found["reason"], found["prove_by"]) == ("dead", "unconfirmed", None)
    told = [one["verb"] for one in await stage.rows(audit) if one["delivery_id"] == found["id"]]
    assert [verb.rpartition(":")[2] for verb in told] == [
        "created",
        "dispatched",
        "unconfirmed",
        "dispatched",
        "dead",
    ]


async def test_a_run_that_confirms_ends_the_waiting_also_too_late(stage: Stage) -> None:
    react(stage)
    await durable(stage, sends=1, force=False)
    held = list(stage.held)
    assert await overdue(stage) == 1
    assert (await row(stage))["state"] == "dead"
    stage.held[:] = held
    await stage.listen()
    found = await row(stage)
    assert (found["state"], found["prove_by"]) == ("confirmed", None)
    assert await overdue(stage) == 0


async def test_a_run_in_time_is_the_end_of_it(stage: Stage) -> None:
    react(stage, finishes="success")
    await durable(stage, force=False)
    await stage.listen()
    assert await overdue(stage) == 0
    assert ((await row(stage))["state"], len(stage.github.dispatches)) == ("completed", 1)


async def test_after_an_outage_what_confirmed_it_is_read_before_it_is_sent_again(
    stage: Stage,
) -> None:
    react(stage, finishes="success")
    await durable(stage, force=False)
    await recover(stage)
    await lose(stage)  # all that tells of its run
    assert await overdue(stage) == 0
    assert await recover(stage) > 0
    assert await overdue(stage) == 0  # it waits in the inbox
    await stage.listen()
    assert await overdue(stage) == 0
    assert ((await row(stage))["state"], len(stage.github.dispatches)) == ("completed", 1)


async def test_what_waits_in_the_inbox_is_read_first_and_nothing_else_holds_it_up(
    stage: Stage,
) -> None:
    react(stage)
    await durable(stage, force=False)
    await stage.take()
    assert await overdue(stage) == 0
    assert (await row(stage))["state"] == "dispatched"
    other = {"event": "installation_repositories", "recovered": True}
    await execute(stage, update(inbox).values(other))
    assert await overdue(stage) == 1


async def test_what_github_does_not_list_is_not_waited_for_for_ever(stage: Stage) -> None:
    await durable(stage)
    await recover(stage)
    stage.github.fail("GET", "/app/hook/deliveries", status=502, times=100)
    stage.clock.advance(TEN)
    await recover(stage)
    assert await overdue(stage) == 0
    stage.clock.advance(timedelta(hours=1))
    assert await overdue(stage) == 1


async def test_many_are_answered_in_few_commits(stage: Stage) -> None:
    await durable(stage)
    (found,) = await stage.rows(deliveries)
    several = [{**found, "id": f"dlv_{n:026}", "replay_no": n} for n in range(1, 100)]
    await stage.broker.database.write(put, (deliveries, several))
    stage.clock.advance(TEN)
    with commits() as seen:
        assert await unproven.send_again(stage.broker) == 100
    assert len(seen) < 10


async def test_a_run_that_is_probably_its_own_stops_the_sending(stage: Stage) -> None:
    react(stage, None)
    await durable(stage)
    await stage.listen()
    assert await overdue(stage) == 0
    found = await row(stage)
    assert (found["state"], found["prove_by"]) == ("dispatched", None)


async def test_the_policy_is_asked_again_before_it_is_sent_again(stage: Stage) -> None:
    await durable(stage)
    await operations.end(stage.broker, ME, "revoke", ENDS)
    assert await overdue(stage) == 1
    await stage.deliver()
    found = await row(stage)
    assert (found["state"], found["blocked_reason"]) == ("blocked", "not_approved")
    assert len(stage.github.dispatches) == 1


async def test_what_is_durable_no_longer_rests(stage: Stage) -> None:
    await durable(stage)
    await make_durable(stage.broker, ME, ENDS, None)
    assert await overdue(stage) == 0
    assert ((await row(stage))["state"], (await row(stage))["prove_by"]) == ("dispatched", None)


async def test_two_processes_send_it_again_once(stage: Stage) -> None:
    await durable(stage)
    stage.clock.advance(TEN)
    (seen,) = await stage.broker.database.query(rows_of.overdue, stage.clock.now())
    assert await unproven.send_again(stage.broker) == 1
    late = rows_of.Answer(seen, "dead", stage.clock.now())
    assert not await stage.broker.database.write(rows_of.answer, late)
    assert (await row(stage))["state"] == "pending"


async def test_without_a_run_that_could_confirm_it_is_refused(stage: Stage) -> None:
    await stage.serve()
    for number, run_name in enumerate((None, "Deploy")):
        react(stage, run_name, f"react{number}.yml")
        with pytest.raises(Conflict, match="run-name: Zekt"):
            await make_durable(stage.broker, ME, ENDS, Durable())
    made = await make_durable(stage.broker, ME, ENDS, Durable(), force=True)
    assert made.durable == Durable()


async def test_the_consumers_people_decide_and_nobody_else(stage: Stage) -> None:
    await stage.serve()
    who = people(stage)
    react(stage)
    made = await make_durable(stage.broker, who.mia, ENDS, Durable())
    assert made.durable == Durable()
    for other in (who.ada, who.wes, who.eve):
        with pytest.raises((AccessDenied, NotFound)):
            await make_durable(stage.broker, other, ENDS, None)


@pytest.mark.parametrize(
    "senseless",
    [
        Durable(timedelta(seconds=59)),
        Durable(timedelta(days=8)),
        Durable(sends=0),
        Durable(sends=21),
    ],
)
async def test_its_bounds_are_kept(stage: Stage, senseless: Durable) -> None:
    await stage.serve()
    with pytest.raises(InvalidInput):
        await make_durable(stage.broker, ME, ENDS, senseless, force=True)


async def test_another_channel_starts_no_run(stage: Stage) -> None:
    await stage.serve()
    other = dataclasses.replace(ENDS, channel="other")
    await stage.broker.database.write(_on_other, None)
    with pytest.raises(InvalidInput, match="starts no run"):
        await make_durable(stage.broker, ME, other, Durable(), force=True)


def _on_other(connection: Any, rows: Any) -> Any:
    connection.execute(update(subscriptions).values(channel="other"))
    return rows
