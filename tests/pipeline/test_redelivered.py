"""GitHub's Redeliver button takes up a run, and an envelope of it, that was set aside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import update

from tests.pipeline.between import Raising
from tests.pipeline.sending import execute
from tests.pipeline.test_match_pages import crowd
from tests.pipeline.test_set_aside import wear_out
from tests.stage import ME, RELEASE, open_stage
from zekt_bot import hookimpl
from zekt_bot.app import serving
from zekt_bot.db.tables import audit, deliveries, envelopes, inbox, messages, runs
from zekt_bot.domain.access import Person
from zekt_bot.domain.events import Envelope, Run
from zekt_bot.domain.webhooks import Receipt
from zekt_bot.errors import AccessDenied, Conflict, Gone, NotFound
from zekt_bot.operations import webhook_proof, workflows
from zekt_bot.operations.events import retry_event
from zekt_bot.pipeline.fan_out import PAGE
from zekt_bot.pipeline.store import store
from zekt_bot.pipeline.verify import from_api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.stage import Stage
    from zekt_bot.testing import ManualClock, WebhookDelivery

KNOWN, AGAIN = {"duplicate": True}, {"duplicate": True, "requeued": True}


@pytest.fixture
async def stage(migrated_url: str, clock: ManualClock) -> AsyncIterator[Stage]:
    """A stage with a real server, which GitHub reaches."""
    async with (
        open_stage(migrated_url, clock, host="127.0.0.1", port=0) as opened,
        serving(opened.broker) as port,
    ):
        opened.app.hook_url = f"http://127.0.0.1:{port}/webhooks/github"
        yield opened


async def told(stage: Stage) -> list[WebhookDelivery]:
    """GitHub sends what it holds, and it is routed."""
    sent, stage.held[:] = list(stage.held), []
    gone = [await stage.github.deliver(one) for one in sent]
    await stage.listen()
    return gone


async def press(stage: Stage, sent: WebhookDelivery) -> dict[str, Any]:
    """The button; answers what GitHub hears, but the id that it knows."""
    (again,) = await stage.github.redeliver(sent.guid)
    heard = orjson.loads(again.response_body)
    assert (again.status_code, heard.pop("delivery")) == (202, sent.guid)
    return dict(heard)


async def worn_out(stage: Stage, subject: type) -> tuple[Raising, list[WebhookDelivery]]:
    """A run, or an event of it, that a plugin failed about too often; with GitHub's webhooks."""
    await stage.finish_run("build")
    sent = await told(stage)
    raising = Raising(subject)
    stage.broker.plugins.register(raising, "raising")
    if subject is Envelope:
        assert await stage.aggregate() == {}
    await wear_out(stage, "runs" if subject is Run else "envelopes")
    return raising, sent


async def verbs(stage: Stage) -> list[str]:
    """What the audit says of setting aside."""
    aside = ("set_aside", "requeued")
    return [row["verb"] for row in await stage.rows(audit) if row["verb"].endswith(aside)]


@pytest.mark.parametrize(
    ("subject", "table"), [(Run, runs), (Envelope, envelopes)], ids=["run", "envelope"]
)
async def test_the_button_takes_up_what_was_set_aside(
    stage: Stage, subject: type, table: Any
) -> None:
    await stage.serve("*")
    raising, sent = await worn_out(stage, subject)
    raising.subject = None  # mended
    assert await stage.flow() == []
    heard = [await press(stage, one) for one in sent]
    told_run = [one.event == "workflow_run" for one in sent]
    assert heard == [AGAIN if n == told_run.index(True) else KNOWN for n in range(len(sent))]
    row = await stage.row(table)
    assert (row["failures"], row["reason"], row["due_at"]) == (0, None, stage.clock.now())
    await stage.flow()
    assert len(stage.github.dispatches) == 1
    assert [await press(stage, one) for one in sent] == [KNOWN] * len(sent)
    await stage.flow()
    assert len(stage.github.dispatches) == 1
    noun = table.name.removesuffix("s")
    assert await verbs(stage) == [f"zekt:{noun}:set_aside", f"zekt:{noun}:requeued"]
    entry = next(row for row in await stage.rows(audit) if row["verb"].endswith(":requeued"))
    assert orjson.loads(entry["details"]) == {noun: (await stage.row(table))["id"]}
    of = (await stage.row(runs))["correlation_id"], stage.provider.id
    assert (entry["correlation_id"], entry["repository_id"]) == of


async def test_a_plugin_that_still_fails_has_five_times_again(stage: Stage) -> None:
    await stage.serve("*")
    _, sent = await worn_out(stage, Run)
    assert await press(stage, sent[-1]) == AGAIN
    await wear_out(stage, "runs")
    assert await press(stage, sent[-1]) == AGAIN


async def test_a_run_with_a_late_message_goes_on_where_it_was(stage: Stage) -> None:
    await stage.serve("*")
    run = await stage.finish_run("build")
    sent = await told(stage)
    await stage.flow()
    raising = Raising(Run)
    stage.broker.plugins.register(raising, "raising")
    await stage.post(run)
    await wear_out(stage, "runs")
    raising.subject = None
    assert await press(stage, sent[-1]) == AGAIN
    assert (await stage.row(runs))["state"] == "done"
    await stage.flow()
    assert {row["kind"] for row in await stage.rows(envelopes)} == {"event", "late_message"}
    assert len(stage.github.dispatches) == 2


class OfOneType(Raising):
    """A plugin that cannot decide about events of one type."""

    @hookimpl
    def zekt_block_reason(self, subject: object) -> None:
        """Fail about that type."""
        if self.subject and isinstance(subject, Envelope) and subject.event_type == "broken":
            raise RuntimeError(subject.event_type)


async def test_of_a_run_whose_messages_partly_went_out_only_the_rest_follows(stage: Stage) -> None:
    await stage.serve("*")
    run = await stage.finish_run("build")
    sent = await told(stage)
    for event_type in ("broken", "released", "broken too"):
        await stage.post(run, event_type=event_type)
    stage.broker.plugins.register(raising := OfOneType(Envelope), "raising")
    assert await stage.aggregate() == {}
    assert len(await stage.match()) == 1
    await wear_out(stage, "envelopes")
    await stage.deliver()
    assert {one.event_type for one in stage.github.dispatches} == {"released", "broken too"}
    raising.subject = None
    assert await press(stage, sent[-1]) == AGAIN
    await stage.flow()
    types = [one.event_type for one in stage.github.dispatches]
    assert sorted(types) == ["broken", "broken too", "released"]


async def test_who_had_an_event_before_it_was_set_aside_does_not_have_it_twice(
    stage: Stage,
) -> None:
    service = await stage.publish()
    await crowd(stage, service, PAGE + 5)
    await stage.finish_run("build")
    sent = await told(stage)
    assert await stage.aggregate() == {}
    assert await stage.match() == {}
    assert len(await stage.rows(deliveries)) == PAGE
    stage.broker.plugins.register(raising := Raising(Envelope), "raising")
    await wear_out(stage, "envelopes")
    raising.subject = None
    assert await press(stage, sent[-1]) == AGAIN
    assert await stage.match() == {}
    causes = [row["cause_id"] for row in await stage.rows(deliveries)]
    assert len(causes) == len(set(causes)) == PAGE + 5


async def test_what_is_taken_up_is_decided_by_what_stands_then(stage: Stage) -> None:
    await stage.serve("*")
    raising, sent = await worn_out(stage, Run)
    raising.subject = None
    await workflows.disallow(stage.broker, ME, stage.provider.full_name, RELEASE)
    assert await press(stage, sent[-1]) == AGAIN
    await stage.flow()
    assert (await stage.row(runs))["blocked_reason"] == "not_allowed"
    assert stage.github.dispatches == []


@pytest.mark.parametrize("subject", [Run, Envelope])
async def test_what_zekt_reads_again_itself_takes_nothing_up(stage: Stage, subject: type) -> None:
    await stage.serve("*")
    _, sent = await worn_out(stage, subject)
    last = sent[-1]
    read_again = from_api("orchestrator", last.guid, last.event, last.payload)
    assert await store(stage.broker, read_again) == Receipt(duplicate=True)
    assert await verbs(stage) == [f"zekt:{'run' if subject is Run else 'envelope'}:set_aside"]


async def retry(stage: Stage) -> None:
    """What an operator does."""
    await retry_event(stage.broker, ME, (await stage.row(runs))["correlation_id"])


@pytest.mark.parametrize("table", [runs, envelopes, inbox], ids=str)
async def test_a_test_webhook_takes_nothing_up(stage: Stage, table: Any) -> None:
    await stage.serve("*")
    _, sent = await worn_out(stage, Run if table is runs else Envelope)
    if table is inbox:
        await execute(stage, update(inbox).values(state="set_aside", raw=b"sealed"))
        with pytest.raises(Conflict, match="nor what is set aside"):
            await webhook_proof.send_test(stage.broker, ME, "orchestrator")
        return
    before = await verbs(stage)
    await webhook_proof.send_test(stage.broker, ME, "orchestrator")
    await stage.github.settle()
    (again,) = [one for one in stage.github.deliveries if one.redelivery]
    assert orjson.loads(again.response_body) == KNOWN | {"delivery": again.guid}
    assert again.guid in {one.guid for one in sent[:-1]}
    assert await verbs(stage) == before


async def test_what_nobody_can_send_any_more_is_not_taken_up(stage: Stage) -> None:
    await stage.serve("*")
    _, sent = await worn_out(stage, Envelope)
    gone = {"body": b"", "body_gone_at": stage.clock.now()}
    await execute(stage, update(envelopes).values(gone))
    assert await press(stage, sent[-1]) == KNOWN
    with pytest.raises(Gone, match="deleted by age"):
        await retry(stage)


async def test_a_run_whose_message_is_gone_is_not_taken_up(stage: Stage) -> None:
    await stage.serve("released")
    run = await stage.finish_run("build")
    sent = await told(stage)
    await stage.post(run)
    stage.broker.plugins.register(Raising(Run), "raising")
    await wear_out(stage, "runs")
    gone = {"body": b"", "body_gone_at": stage.clock.now()}
    await execute(stage, update(messages).values(gone))
    assert await press(stage, sent[-1]) == KNOWN
    with pytest.raises(Gone, match="deleted by age"):
        await retry(stage)
    await execute(stage, update(messages).values(body_gone_at=None))
    assert await press(stage, sent[-1]) != KNOWN
    with pytest.raises(Conflict, match="Nothing of it"):
        await retry(stage)


async def test_what_a_plugin_blocks_for_this_reason_stays_blocked(stage: Stage) -> None:
    await stage.serve("*")
    await stage.finish_run("build")
    sent = await told(stage)
    stage.broker.plugins.register(Blocking(), "blocking")
    await stage.flow()
    assert (await stage.row(envelopes))["blocked_reason"] == "plugin_failed"
    assert await press(stage, sent[-1]) == KNOWN
    gone = {"body": b"", "body_gone_at": stage.clock.now()}
    await execute(stage, update(envelopes).values(gone))
    with pytest.raises(Conflict, match="Nothing of it"):
        await retry(stage)


class Blocking:
    """A plugin that blocks every event, with the word that Zekt has for failures."""

    @hookimpl
    def zekt_block_reason(self, subject: object) -> str | None:
        """Block."""
        return "plugin_failed" if isinstance(subject, Envelope) else None


async def test_a_webhook_that_was_set_aside_and_its_run_are_both_taken_up(stage: Stage) -> None:
    await stage.serve("*")
    raising, sent = await worn_out(stage, Run)
    raising.subject = None
    mark = update(inbox).where(inbox.c.guid == sent[-1].guid)
    await execute(stage, mark.values(state="set_aside", raw=b"sealed"))
    assert await press(stage, sent[-1]) == AGAIN
    expected = ["zekt:run:set_aside", "zekt:run:requeued", "zekt:webhook:requeued"]
    assert await verbs(stage) == expected


@pytest.mark.parametrize(
    ("subject", "noun"), [(Run, "run"), (Envelope, "envelope")], ids=["run", "envelope"]
)
async def test_an_operator_takes_up_what_was_set_aside_by_the_ids_of_its_event(
    stage: Stage, subject: type, noun: str
) -> None:
    await stage.serve("*")
    raising, _ = await worn_out(stage, subject)
    raising.subject = None
    name = (await stage.row(runs))["correlation_id"]
    with pytest.raises(AccessDenied):
        await retry_event(stage.broker, Person(7, "mona"), name)
    await retry_event(stage.broker, ME, name)
    await stage.flow()
    assert len(stage.github.dispatches) == 1
    assert await verbs(stage) == [f"zekt:{noun}:set_aside", f"person:{noun}:requeued"]
    with pytest.raises(Conflict):
        await retry_event(stage.broker, ME, name)
    with pytest.raises(NotFound):
        await retry_event(stage.broker, ME, "cor_0")
