"""On hold, events come in and deliveries wait; afterwards each of them goes out once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.stage import ME, SERVICE, Stage
from zekt_bot.db import pauses as pause_rows
from zekt_bot.db.tables import audit, deliveries, pauses
from zekt_bot.domain.access import Person
from zekt_bot.domain.pauses import EVERYTHING
from zekt_bot.errors import AccessDenied, InvalidInput, NotFound
from zekt_bot.operations.pauses import Target, finish, list_pauses, pause, resume

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

TARGETS = {
    "everything": Target(),
    "provider": Target(account="Aurora-Labs"),
    "consumer": Target(account="kestrel-bank"),
    "service": Target(service=SERVICE),
}
OTHERS = (Target(service="aurora-labs/other"), Target(subscription="sub_0"), Target(account="x"))


async def states(stage: Stage) -> list[tuple[str, str | None]]:
    """Each delivery's state, and what it waits for."""
    return [(row["state"], row["waits_for"]) for row in await stage.rows(deliveries)]


async def held(stage: Stage) -> Mapping[str, Any]:
    return await stage.row(deliveries)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
async def test_what_is_matched_on_hold_waits_and_goes_out_when_it_ends(
    stage: Stage, target: Target
) -> None:
    await stage.serve()
    assert await pause(stage.broker, ME, target)
    await stage.finish_run("build")
    assert await stage.flow() == []
    assert await states(stage) == [("pending", "pause")]
    assert (await held(stage))["reason"] == (await list_pauses(stage.broker, ME))[0]["subject"]

    assert await resume(stage.broker, ME, target) == 1
    assert [outcome and outcome.kind for outcome in await stage.deliver()] == ["dispatched"]
    assert await stage.rows(pauses) == []


async def test_one_subscription_waits_and_its_neighbour_does_not(stage: Stage) -> None:
    subscribed = await stage.serve()
    other = stage.github.repository(stage.consumer.owner, "mobile-app", private=True)
    await stage.subscribe(other)
    target = Target(subscription=subscribed.id)
    await pause(stage.broker, ME, target)
    await stage.finish_run("build")
    await stage.flow()
    assert sorted(await states(stage), key=str) == [("dispatched", None), ("pending", "pause")]
    assert [sent.repository for sent in stage.github.dispatches] == [other]
    assert await resume(stage.broker, ME, target) == 1
    await stage.deliver()
    assert len(stage.github.dispatches) == 2


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
async def test_what_was_due_already_is_not_sent_either(stage: Stage, target: Target) -> None:
    await stage.serve()
    await stage.finish_run("build")
    await stage.prepare()
    await pause(stage.broker, ME, target)
    assert await stage.deliver() == [None]
    assert await states(stage) == [("pending", "pause")]
    assert stage.github.dispatches == []
    assert await resume(stage.broker, ME, target) == 1
    await stage.deliver()
    assert len(stage.github.dispatches) == 1


async def test_a_pause_that_ended_while_it_was_looked_at_strands_nothing(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    await stage.prepare()
    await pause(stage.broker, ME, Target())
    (work,) = await stage.works()
    assert work.on_hold
    assert await resume(stage.broker, ME, Target()) == 0
    assert await stage.send(work) is None
    assert await states(stage) == [("pending", None)]
    await stage.deliver()
    assert len(stage.github.dispatches) == 1


async def test_what_two_pauses_hold_waits_for_both(stage: Stage) -> None:
    await stage.serve()
    for target in TARGETS.values():
        await pause(stage.broker, ME, target)
    await stage.finish_run("build")
    await stage.flow()
    given = [await resume(stage.broker, ME, target) for target in TARGETS.values()]
    assert given == [0, 0, 0, 1]
    await stage.deliver()
    assert len(stage.github.dispatches) == 1


async def test_resuming_goes_page_by_page(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pause_rows, "PAGE", 2)
    await stage.serve()
    await pause(stage.broker, ME, Target())
    for _ in range(5):
        await stage.finish_run("build")
    await stage.flow()
    assert await resume(stage.broker, ME, Target()) == 5
    await stage.deliver()
    assert len(stage.github.dispatches) == 5


async def test_a_resume_that_died_is_finished_by_the_worker(stage: Stage) -> None:
    await stage.serve()
    await pause(stage.broker, ME, Target())
    await stage.finish_run("build")
    await stage.flow()
    entry = await stage.broker.entry("person:sending:resumed", ME.actor)
    row = (EVERYTHING, stage.clock.now(), entry)
    await stage.broker.database.write(pause_rows.end, row)  # and here the process dies
    assert await finish(stage.broker) == 1
    await stage.deliver()
    assert len(stage.github.dispatches) == 1
    assert await stage.rows(pauses) == []


async def test_paused_again_while_it_is_being_resumed_it_is_on_hold(stage: Stage) -> None:
    await pause(stage.broker, ME, Target())
    entry = await stage.broker.entry("person:sending:resumed", ME.actor)
    await stage.broker.database.write(pause_rows.end, (EVERYTHING, stage.clock.now(), entry))
    assert await list_pauses(stage.broker, ME) == []
    assert await pause(stage.broker, ME, Target())
    assert await finish(stage.broker) == 0
    assert [row["subject"] for row in await list_pauses(stage.broker, ME)] == ["all"]


async def test_twice_is_once_and_is_audited_once(stage: Stage) -> None:
    assert await pause(stage.broker, ME, Target())
    assert not await pause(stage.broker, ME, Target())
    assert await resume(stage.broker, ME, Target()) == 0
    assert await resume(stage.broker, ME, Target()) is None
    verbs = [row["verb"] for row in await stage.rows(audit)]
    assert verbs == ["person:sending:paused", "person:sending:resumed"]


async def test_only_an_operator_may(stage: Stage) -> None:
    person = Person(1, "mona")
    for asked in (pause, resume):
        with pytest.raises(AccessDenied):
            await asked(stage.broker, person, Target())
    with pytest.raises(AccessDenied):
        await list_pauses(stage.broker, person)
    assert await stage.rows(pauses) == []


@pytest.mark.parametrize("target", OTHERS, ids=["service", "subscription", "account"])
async def test_what_is_not_there_cannot_be_put_on_hold(stage: Stage, target: Target) -> None:
    with pytest.raises(NotFound):
        await pause(stage.broker, ME, target)


async def test_one_thing_at_a_time(stage: Stage) -> None:
    with pytest.raises(InvalidInput):
        await pause(stage.broker, ME, Target(account="aurora-labs", service=SERVICE))
