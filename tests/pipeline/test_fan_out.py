"""A run, its only event and those who hear of it are one commit."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from tests.operations.subscribing import ENDS
from tests.pipeline.between import Raising, elsewhere, interfere, suspending, writing
from tests.pipeline.test_aggregate import gathering
from tests.pipeline.test_match_pages import crowd
from tests.stage import ME, RELEASE, open_stage
from zekt_bot.db import mirror
from zekt_bot.db import services as service_rows
from zekt_bot.db import subscriptions as subscription_rows
from zekt_bot.db.tables import audit, deliveries, envelopes, runs, services
from zekt_bot.domain.deliveries import Delivery
from zekt_bot.domain.events import Envelope
from zekt_bot.domain.quotas import Quota
from zekt_bot.domain.subscriptions import Ordered
from zekt_bot.errors import Conflict
from zekt_bot.operations import pauses, workflows
from zekt_bot.operations.ordering import make_ordered
from zekt_bot.pipeline.fan_out import PAGE

if TYPE_CHECKING:
    from tests.stage import Stage


async def settled(stage: Stage, *, state: str | None = "pending", **expected: Any) -> None:
    """Aggregate: the event is finished with its run, and so is its one delivery, or there is none.

    `expected` of the envelope.
    """
    assert await stage.aggregate() == {}
    assert await stage.claim("envelopes") == []
    row = await stage.row(envelopes)
    values = {"due_at": None, "blocked_reason": None, "filtered": 0, **expected}
    assert {name: row[name] for name in values} == values
    found = [each["state"] for each in await stage.rows(deliveries)]
    assert found == ([state] if state else [])


async def test_an_event_is_matched_with_its_run(stage: Stage) -> None:
    held = await stage.serve()
    await gathering(stage, "build")
    await settled(stage, fanned_out_to=held.id)
    (work,) = await stage.works()
    assert work.delivery.cause_id == held.id
    told = [row["verb"] for row in await stage.rows(audit)][-2:]
    assert told == ["zekt:run:aggregated", "zekt:delivery:created"]


async def test_so_is_one_that_carries_the_runs_only_message(stage: Stage) -> None:
    await stage.serve("released")
    run = await stage.finish_run("build")
    await stage.post(run)
    await stage.listen()
    await settled(stage, kind="message", event_type="released")


async def test_several_messages_of_a_run_are_matched_each_by_itself(stage: Stage) -> None:
    """However many there are, none makes a commit of more than a page."""
    await stage.serve("*")
    run = await stage.finish_run("build")
    for number in range(3):
        await stage.post(run, str(number).encode())
    await stage.listen()
    assert await stage.aggregate() == {}
    assert await stage.rows(deliveries) == []
    assert await stage.match() == {}
    assert len(await stage.rows(deliveries)) == 3


async def test_an_event_that_is_blocked_is_so_with_its_run(stage: Stage) -> None:
    await stage.serve()
    await stage.post(await stage.finish_run("build"), event_type="secret-type")
    await stage.listen()
    await settled(stage, state=None, blocked_reason="event_type_not_declared")
    told = [row["verb"] for row in await stage.rows(audit)][-2:]
    assert told == ["zekt:run:aggregated", "zekt:envelope:blocked"]


async def test_what_nobody_wants_is_finished_with_its_run(stage: Stage) -> None:
    held = await stage.serve()
    end = writing(lambda c: subscription_rows.change(c, held.id, state="ended"))
    await end(stage.broker)
    await gathering(stage, "build")
    await settled(stage, state=None, filtered=1)


async def test_a_service_that_is_no_longer_published_sends_nothing(stage: Stage) -> None:
    await stage.serve()
    held = (await stage.row(services))["id"]
    await writing(lambda c: service_rows.change(c, held, published_at=None))(stage.broker)
    await gathering(stage, "build")
    await settled(stage, state=None, fanned_out_to="")


@pytest.mark.parametrize("of", ["providing", "consuming"])
@pytest.mark.parametrize("subject", [Envelope, Delivery])
async def test_consent_withdrawn_meanwhile_is_seen(stage: Stage, of: str, subject: type) -> None:
    await stage.serve()
    await gathering(stage, "build")
    interfere(stage, subject, suspending(getattr(stage, of).id))
    assert await stage.aggregate() == {}
    assert await stage.works() == []
    if of == "providing":
        assert (await stage.row(runs))["blocked_reason"] == "consent"
        assert await stage.rows(envelopes) == []
    else:
        assert (await stage.row(deliveries))["blocked_reason"] == "consent"


async def test_approval_meanwhile_is_seen(stage: Stage) -> None:
    await stage.publish()
    held = await stage.subscribe(approve=False)
    await gathering(stage, "build")
    approve = writing(lambda c: subscription_rows.change(c, held.id, state="approved"))
    interfere(stage, Delivery, approve)
    await settled(stage)


async def test_a_service_changed_meanwhile_is_seen(stage: Stage) -> None:
    await stage.serve()
    await gathering(stage, "build")
    held = (await stage.row(services))["id"]
    narrow = writing(lambda c: service_rows.change(c, held, event_types='["released"]'))
    interfere(stage, Envelope, narrow)
    await settled(stage, state=None, blocked_reason="event_type_not_declared")


async def test_facts_that_never_stand_still_leave_nothing_behind(stage: Stage) -> None:
    await stage.serve()
    await gathering(stage, "build")
    between = interfere(
        stage, Delivery, writing(lambda c: mirror.touch(c, stage.consumer.id)), times=100
    )
    (error,) = (await stage.aggregate()).values()
    assert isinstance(error, Conflict)
    assert (await stage.rows(envelopes), await stage.rows(deliveries)) == ([], [])
    between.left = 0
    stage.clock.advance(timedelta(minutes=1))
    await settled(stage)


async def test_a_plugin_that_cannot_decide_about_the_event_holds_up_no_run(stage: Stage) -> None:
    await stage.serve()
    await gathering(stage, "build")
    raising = Raising(Envelope)
    stage.broker.plugins.register(raising, "raising")
    assert await stage.aggregate() == {}
    assert (await stage.row(runs))["state"] == "done"
    (error,) = (await stage.match()).values()
    assert "zekt_block_reason" in str(error)
    assert await stage.rows(deliveries) == []


async def test_a_delivery_that_cannot_be_decided_is_decided_before_its_post(stage: Stage) -> None:
    await stage.serve()
    await gathering(stage, "build")
    stage.broker.plugins.register(Raising(Delivery), "raising")
    await settled(stage)
    assert (await stage.row(deliveries))["failures"] == 1
    assert await stage.works() == []


async def test_what_is_on_hold_waits_and_goes_when_it_is_resumed_meanwhile(stage: Stage) -> None:
    await stage.serve()
    await pauses.pause(stage.broker, ME, pauses.Target())
    await gathering(stage, "build")

    async def resume(broker: Any) -> None:
        await pauses.resume(broker, ME, pauses.Target())

    interfere(stage, Delivery, resume)
    await settled(stage)
    assert (await stage.row(deliveries))["waits_for"] is None
    await pauses.pause(stage.broker, ME, pauses.Target())
    stage.clock.advance(timedelta(seconds=1))  # ids follow the time
    await gathering(stage, "build")
    assert await stage.aggregate() == {}
    waits = {row["envelope"]: row["waits_for"] for row in await stage.rows(deliveries)}
    assert [waits[row["id"]] for row in await stage.rows(envelopes)] == [None, "pause"]


async def test_an_account_without_room_makes_no_delivery(migrated_url: str) -> None:
    async with open_stage(migrated_url, quota=Quota(events=1)) as stage:
        await stage.serve()
        for _ in range(3):
            await gathering(stage, "build")
        assert await stage.aggregate() == {}
        assert len(await stage.rows(deliveries)) == len(await stage.rows(envelopes)) == 1
        reasons = sorted(str(row["blocked_reason"]) for row in await stage.rows(runs))
        assert reasons == ["None", "quota", "quota"]


async def test_what_a_crowd_hears_of_is_matched_page_by_page(stage: Stage) -> None:
    service = await stage.publish()
    await stage.subscribe(approve=False)  # the consumer is known now
    await crowd(stage, service, PAGE - 1)
    await gathering(stage, "build")
    assert await stage.aggregate() == {}
    assert await stage.rows(deliveries) == []
    assert await stage.match() == {}
    assert len(await stage.rows(deliveries)) == PAGE


async def test_an_event_that_is_ordered_passes_by_none_that_waits(stage: Stage) -> None:
    await stage.serve("*")
    await make_ordered(stage.broker, ME, ENDS, Ordered(), force=True)
    run = await stage.finish_run("build")
    for number in range(2):
        await stage.post(run, str(number).encode())
    stage.clock.advance(timedelta(seconds=1))  # ids follow the time
    await stage.finish_run("build")
    stage.clock.advance(timedelta(seconds=1))
    await stage.prepare()
    while await stage.deliver():
        pass
    sent = [one.client_payload["zekt"]["eventId"] for one in stage.github.dispatches]
    assert sent == sorted(row["id"] for row in await stage.rows(envelopes))
    assert len(sent) == 3


async def test_a_message_in_clear_is_blocked_where_the_service_asks_for_shield_by_now(
    stage: Stage,
) -> None:
    await stage.serve("released")
    await stage.post(await stage.finish_run("build"))
    await stage.listen()
    held = (await stage.row(services))["id"]
    await writing(lambda c: service_rows.change(c, held, shield=True))(stage.broker)
    await settled(stage, state=None, blocked_reason="not_encrypted")


async def test_a_provider_that_hears_itself_is_decided_on_what_was_read_first(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.publish()
    await stage.subscribe(stage.provider)
    await gathering(stage, "build")
    read, left = subscription_rows.subscribers, [True]

    def meanwhile(*asked: Any) -> Any:
        if left:
            left.pop()
            name = stage.provider.full_name
            elsewhere(stage, lambda broker: workflows.disallow(broker, ME, name, RELEASE))
        return read(*asked)

    monkeypatch.setattr(subscription_rows, "subscribers", meanwhile)
    assert await stage.aggregate() == {}
    assert (await stage.row(runs))["blocked_reason"] == "not_allowed"


async def test_the_log_tells_of_both(stage: Stage) -> None:
    await stage.serve()
    await gathering(stage, "build")
    with capture_logs() as lines:
        assert await stage.aggregate() == {}
    told = [(line["event"], line.get("deliveries")) for line in lines]
    assert told == [("run.aggregated", None), ("envelope.matched", 1)]
