"""Nothing that was missed is sent to whom it was not meant for when it happened, or is not now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pipeline.missing import HOUR, asked, flow, lose, recover
from tests.stage import ME, RELEASE, SERVICE, Stage, open_stage
from zekt_bot.db import admissions, mirror
from zekt_bot.db.admissions import Listed
from zekt_bot.db.tables import deliveries, inbox, runs
from zekt_bot.operations import accounts, subscriptions, workflows
from zekt_bot.operations.subscription_parties import Ends
from zekt_bot.pipeline.missed_runs import MissedRuns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


async def test_a_run_that_ended_before_its_repository_was_enabled_is_never_sent(
    stage: Stage,
) -> None:
    run = await stage.finish_run("build")
    stage.clock.advance(HOUR)
    await stage.serve()
    stage.clock.advance(HOUR)
    await lose(stage)  # so late
    assert await recover(stage) == 6
    await flow(stage)
    row = await stage.row(runs)
    assert (row["state"], row["blocked_reason"]) == ("done", "enabled_later")
    await stage.post(run)
    await flow(stage)
    assert stage.github.dispatches == []


async def test_a_run_that_ended_before_the_approval_is_not_sent_there(stage: Stage) -> None:
    await stage.publish()
    await stage.subscribe(approve=False)
    await stage.finish_run("build")
    await lose(stage)
    stage.clock.advance(HOUR)
    await subscriptions.approve(stage.broker, ME, Ends(SERVICE, stage.consumer.full_name))
    await recover(stage)
    await flow(stage)
    assert (await stage.row(runs))["blocked_reason"] is None
    assert await stage.rows(deliveries) == []
    await stage.finish_run("build")
    await lose(stage)
    await recover(stage)
    await flow(stage)
    assert len(stage.github.dispatches) == 1


async def test_an_old_run_is_stored_and_not_sent(migrated_url: str) -> None:
    async with open_stage(migrated_url, recover_max_age=HOUR) as stage:
        await stage.serve()
        await stage.finish_run("build")
        await lose(stage)
        stage.clock.advance(HOUR)
        await recover(stage)
        await flow(stage)
        row = await stage.row(runs)
        assert (row["conclusion"], row["blocked_reason"]) == ("success", "too_old")
        assert stage.github.dispatches == []


async def test_of_a_blocked_account_nothing_is_asked_for(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    await lose(stage)
    await accounts.block(stage.broker, ME, "aurora-labs")
    assert (await recover(stage), asked(stage)) == (0, 0)


async def away(stage: Stage, why: str) -> None:
    """Two hours in which a run of the provider ends while it is not to be heard."""
    if why == "block":
        await accounts.block(stage.broker, ME, "aurora-labs")
    else:
        await stage.github.suspend(stage.providing)
        await stage.listen()
    stage.clock.advance(HOUR)
    await stage.finish_run("build")
    await lose(stage)
    stage.clock.advance(HOUR)
    if why == "block":
        await accounts.allow(stage.broker, ME, "aurora-labs")
    else:
        await stage.github.unsuspend(stage.providing)
        await stage.listen()


@pytest.mark.parametrize("why", ["block", "suspend"])
async def test_what_ended_while_it_was_not_to_be_heard_is_never_sent(
    stage: Stage, why: str
) -> None:
    await stage.serve()
    await away(stage, why)
    assert await recover(stage) == 0
    assert await MissedRuns(stage.broker).recover() == 0
    await stage.finish_run("build")
    await lose(stage)
    assert await recover(stage) > 0
    await flow(stage)
    assert len(stage.github.dispatches) == 1


@pytest.mark.parametrize("late", [False, True], ids=["on time", "late"])
async def test_a_consumer_that_was_suspended_hears_nothing_of_that_time_however_it_is_told(
    stage: Stage, late: bool
) -> None:
    await stage.serve()
    await stage.github.suspend(stage.consuming)
    await stage.listen()
    stage.clock.advance(HOUR)
    await stage.finish_run("build")
    if late:
        await lose(stage)
    else:
        await stage.listen()
        await flow(stage)
    stage.clock.advance(HOUR)
    await stage.github.unsuspend(stage.consuming)
    await stage.listen()
    await recover(stage)
    await flow(stage)
    assert stage.github.dispatches == []
    await stage.finish_run("build")
    await lose(stage)
    await recover(stage)
    await flow(stage)
    assert len(stage.github.dispatches) == 1


async def test_what_ended_before_the_list_let_its_account_in_again_is_not_sent(
    stage: Stage,
) -> None:
    await stage.serve()
    now = stage.clock.now()
    await stage.broker.database.write(admissions.settle, Listed(("kestrel-bank",), now))
    await stage.finish_run("build")
    await lose(stage)
    stage.clock.advance(HOUR)
    await stage.broker.database.write(admissions.settle, Listed((), stage.clock.now()))
    assert await recover(stage) == 0


async def test_an_account_that_was_never_out_is_heard_from_the_beginning(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    await lose(stage)
    await accounts.allow(stage.broker, ME, "aurora-labs")
    assert await recover(stage) > 0
    await flow(stage)
    assert len(stage.github.dispatches) == 1


async def test_what_ended_outside_of_the_installation_is_not_sent(stage: Stage) -> None:
    await stage.serve()
    one, now = {"id": stage.provider.id}, stage.clock.now()
    values = {**one, "installation_id": stage.providing.id, "private": True}

    def leave_and_return(connection: Connection, rows: Sequence[datetime]) -> list[None]:
        mirror.detach(connection, stage.providing.id, [stage.provider.id], now)
        mirror.change_repository(connection, stage.provider.id, values, rows[0])
        return [None]

    await stage.finish_run("build")
    await lose(stage)
    stage.clock.advance(HOUR)
    await stage.broker.database.write(leave_and_return, stage.clock.now())
    assert await recover(stage) == 0


async def test_what_ended_during_a_pause_or_before_its_workflow_was_allowed_is_not_sent(
    stage: Stage,
) -> None:
    await stage.serve()
    ends = Ends(SERVICE, stage.consumer.full_name)
    await subscriptions.pause(stage.broker, ME, ends)
    await stage.finish_run("build")
    await lose(stage)
    stage.clock.advance(HOUR)
    await subscriptions.resume(stage.broker, ME, ends)
    await recover(stage)
    await flow(stage)
    assert await stage.rows(deliveries) == []
    await workflows.disallow(stage.broker, ME, stage.provider.full_name, RELEASE)
    await stage.finish_run("build")
    await lose(stage)
    stage.clock.advance(HOUR)
    await workflows.allow(stage.broker, ME, stage.provider.full_name, RELEASE)
    await recover(stage)
    await flow(stage)
    reasons = [row["blocked_reason"] for row in await stage.rows(runs)]
    assert reasons == [None, "enabled_later"]


async def test_of_an_account_that_is_not_admitted_nothing_is_stored(migrated_url: str) -> None:
    async with open_stage(migrated_url, allowed_accounts=("aurora-labs",)) as stage:
        await stage.github.suspend(stage.consuming)
        await lose(stage)
        assert (await recover(stage), asked(stage)) == (0, 1)
        assert await stage.rows(inbox) == []


async def test_consent_that_was_withdrawn_meanwhile_is_withdrawn(stage: Stage) -> None:
    await stage.serve()
    await stage.github.suspend(stage.consuming)
    await lose(stage)
    assert await recover(stage) == 1
    await flow(stage)
    known = await stage.broker.database.query(mirror.repositories_by_id, [stage.consumer.id])
    assert not known[stage.consumer.id].consented


@pytest.mark.parametrize("event", ["suspend", "archive"])
async def test_a_withdrawal_that_comes_late_and_is_undone_holds_up_nothing(
    stage: Stage, event: str
) -> None:
    await stage.serve()
    if event == "suspend":
        await stage.github.suspend(stage.consuming)
        await lose(stage)
        await stage.github.unsuspend(stage.consuming)
    else:
        await stage.github.archive(stage.consumer)
        await lose(stage)
        await stage.github.unarchive(stage.consumer)
    await stage.take()
    while await stage.route():
        pass
    assert await recover(stage) == 1
    stage.github.fail("GET", "*", status=500, times=9)
    await stage.route()  # GitHub is asked, and does not answer now
    (known,) = (
        await stage.broker.database.query(mirror.repositories_by_id, [stage.consumer.id])
    ).values()
    assert known.consented
    assert not known.archived


async def test_a_consumers_run_is_asked_for_unless_it_was_answered(stage: Stage) -> None:
    await stage.serve()
    run = await stage.github.start_run(stage.consumer, "deploy.yml", event="repository_dispatch")
    await run.start_job("build")
    sent = await lose(stage)
    assert [one.event for one in sent if one.event == "workflow_run"]
    assert (await recover(stage), asked(stage)) == (2, 2)
    await run.complete()
    for one in await lose(stage):
        one.status_code = 202
    assert (await recover(stage), asked(stage)) == (0, 2)
