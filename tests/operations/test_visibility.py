"""What is stored, as people ask for it: whose it is, filters, pages, and nothing sealed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.operations.people import people
from tests.stage import ME, RELEASE, SERVICE
from zekt_bot.domain.access import Person, WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.lists import AuditFilter, DeliveryFilter, EventFilter, MessageFilter, Page
from zekt_bot.errors import AccessDenied, InvalidInput, NotFound
from zekt_bot.operations import (
    audit,
    deliveries,
    events,
    message_lists,
    pauses,
    repositories,
    services,
    workflows,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.stage import Stage
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.broker import Broker

    Ask = Callable[[Broker, Principal], Awaitable[object]]

PROVIDER, CONSUMER = "aurora-labs/payments-api", "kestrel-bank/core-sync"
OTHERS = (WorkflowRun(RunKey(1, 2, 3)), Person(7, "mona"))
LISTS: dict[str, Any] = {
    "events": events.list_events,
    "deliveries": deliveries.list_deliveries,
    "messages": message_lists.list_messages,
    "audit": audit.list_entries,
}
SHOWS: dict[str, Ask] = {
    "zekt events list": lambda broker, who: events.show_event(broker, who, "cor_0"),
    "zekt deliveries list": lambda broker, who: deliveries.show_delivery(broker, who, "dlv_0"),
    "zekt messages list": lambda broker, who: message_lists.show_message(broker, who, "msg_0"),
    "zekt audit list": lambda broker, who: audit.show_entry(broker, who, "chain-0000:99"),
}


async def ids(stage: Stage, noun: str, wanted: object, page: Page | None = None) -> list[str]:
    """The ids that a list shows."""
    return [row["id"] for row in await LISTS[noun](stage.broker, ME, page or Page(), wanted)]


@pytest.mark.parametrize("who", OTHERS, ids=["run", "person"])
async def test_who_manages_nothing_reads_nothing(stage: Stage, who: Principal) -> None:
    for listing in LISTS.values():
        with pytest.raises(AccessDenied):
            await listing(stage.broker, who)
    for ask in SHOWS.values():
        with pytest.raises(AccessDenied):
            await ask(stage.broker, who)


async def test_people_read_what_is_about_the_repositories_that_they_manage(stage: Stage) -> None:
    there = people(stage)
    await three_runs(stage)
    (message,) = await message_lists.list_messages(stage.broker, ME)
    (delivery,) = await deliveries.list_deliveries(stage.broker, ME)
    mine: dict[Any, dict[Any, Any]] = {
        there.ada: {
            events.list_events: EventFilter(repository=PROVIDER),
            message_lists.list_messages: MessageFilter(repository=PROVIDER),
            deliveries.list_deliveries: DeliveryFilter(service=SERVICE),
        },
        there.mia: {deliveries.list_deliveries: DeliveryFilter(repository=CONSUMER)},
    }
    everything = {**mine[there.ada], **mine[there.mia]}
    for who in (there.ada, there.mia, there.wes, there.eve):
        for listing, wanted in everything.items():
            if mine.get(who, {}).get(listing) == wanted:
                assert await listing(stage.broker, who, Page(), wanted), (who, wanted)
                continue
            with pytest.raises((AccessDenied, NotFound)):
                await listing(stage.broker, who, Page(), wanted)
        with pytest.raises(AccessDenied):
            await audit.list_entries(stage.broker, who)
    show: Any
    one: str
    for who, shows in (
        (there.ada, {message_lists.show_message: message["id"], events.show_event: message["run"]}),
        (there.mia, {deliveries.show_delivery: delivery["id"]}),
    ):
        for show, one in shows.items():
            assert await show(stage.broker, who, one)
            for other in (there.wes, there.eve):
                with pytest.raises(AccessDenied):
                    await show(stage.broker, other, one)
    with pytest.raises(AccessDenied):
        await message_lists.show_message(stage.broker, there.mia, message["id"], body=True)


async def test_a_hidden_source_stays_hidden_from_who_manages_the_consumer_alone(
    stage: Stage,
) -> None:
    there = people(stage)
    await stage.serve()
    changes = {"hidden_source": True, "alias": "northern-lights", "title": "Releases"}
    await services.edit(stage.broker, ME, SERVICE, changes)
    await stage.finish_run("build")
    await stage.flow()
    to_me = DeliveryFilter(repository=CONSUMER)
    (listed,) = await deliveries.list_deliveries(stage.broker, there.mia, Page(), to_me)
    shown = await deliveries.show_delivery(stage.broker, there.mia, listed["id"])
    secrets = (PROVIDER, "aurora-labs", RELEASE, str(stage.provider.id), "/actions/runs/")
    for found in (listed, shown):
        assert (found["service"], found["workflow_name"]) == ("northern-lights/release", "Releases")
        assert [word for word in secrets if word in repr(found)] == []
    for name, there_is in ((SERVICE, False), ("Northern-Lights/release", True)):
        wanted = DeliveryFilter(repository=CONSUMER, service=name)
        rows = await deliveries.list_deliveries(stage.broker, there.mia, Page(), wanted)
        assert bool(rows) is there_is, name
    whole = await deliveries.show_delivery(stage.broker, there.ada, listed["id"])
    own = DeliveryFilter(service=SERVICE)
    (row,) = await deliveries.list_deliveries(stage.broker, there.ada, Page(), own)
    assert (whole["source"], row["source"]) == (PROVIDER, PROVIDER)


async def test_a_pause_tells_the_consumer_nothing_of_who_hides(stage: Stage) -> None:
    there = people(stage)
    await stage.serve()
    await services.edit(stage.broker, ME, SERVICE, {"hidden_source": True, "alias": "northern"})
    await pauses.pause(stage.broker, ME, pauses.Target(account="aurora-labs"))
    await stage.finish_run("build")
    await stage.flow()
    to_me = DeliveryFilter(repository=CONSUMER)
    (listed,) = await deliveries.list_deliveries(stage.broker, there.mia, Page(), to_me)
    shown = await deliveries.show_delivery(stage.broker, there.mia, listed["id"])
    for found in (listed, shown):
        assert found["waits_for"] == "pause"
        assert str(stage.provider.owner.id) not in repr(found)
    whole = await deliveries.show_delivery(stage.broker, there.ada, listed["id"])
    assert whole["reason"] == f"account:{stage.provider.owner.id}"


async def test_who_takes_an_alias_as_login_does_not_see_the_deliveries_behind_it(
    stage: Stage,
) -> None:
    there = people(stage)
    await stage.serve()
    await services.edit(stage.broker, ME, SERVICE, {"hidden_source": True, "alias": "northern"})
    await stage.finish_run("build")
    await stage.flow()
    taker = stage.github.account("northern")
    await stage.github.install(stage.app, taker)
    theirs = stage.github.repository(taker, "theirs", private=True)
    stage.github.grant(theirs, stage.github.core.world.accounts[there.eve.id], "admin")
    await repositories.enable(stage.broker, there.eve, theirs.full_name)
    await workflows.allow(stage.broker, there.eve, theirs.full_name, RELEASE, force=True)
    wanted = services.Publication(RELEASE, "release")
    await services.publish(stage.broker, there.eve, theirs.full_name, wanted)
    behind = DeliveryFilter(service="northern/release")
    assert await deliveries.list_deliveries(stage.broker, there.eve, Page(), behind) == []


async def test_what_is_not_there_is_not_found_and_its_list_is_named(stage: Stage) -> None:
    for cure, ask in SHOWS.items():
        with pytest.raises(NotFound, match=cure):
            await ask(stage.broker, ME)


async def test_a_senseless_page_or_filter_is_invalid(stage: Stage) -> None:
    for listing in LISTS.values():
        for page in (Page(0), Page(1001), Page(before="nonsense")):
            with pytest.raises(InvalidInput):
                await listing(stage.broker, ME, page)
    for noun, wanted in (
        ("deliveries", DeliveryFilter(state="lost")),  # type: ignore[arg-type]
        ("deliveries", DeliveryFilter(service="release")),
        ("deliveries", DeliveryFilter(repository="core-sync")),
        ("events", EventFilter(repository="payments-api")),
        ("messages", MessageFilter(repository="payments-api")),
        ("audit", AuditFilter(repository="payments-api")),
    ):
        with pytest.raises(InvalidInput):
            await ids(stage, noun, wanted)


async def three_runs(stage: Stage) -> list[str]:
    """One that arrives, one from a fork and one of a type that is not declared; run ids."""
    await stage.serve("zekt-workflow-completed")
    await stage.finish_run("build")
    await stage.flow()
    stage.clock.advance(timedelta(seconds=5))
    await stage.finish_run("build", fork=stage.consumer)
    await stage.flow()
    stage.clock.advance(timedelta(seconds=5))
    run = await stage.github.start_run(stage.provider, RELEASE)
    await run.start_job("build")
    await stage.listen()
    await stage.post(run, b'{"version": "\xc2\x9b31m"}')
    await run.complete("failure")
    await stage.flow()
    return (await ids(stage, "events", EventFilter()))[::-1]


async def test_events_are_found_by_repository_workflow_conclusion_and_what_stopped_them(
    stage: Stage,
) -> None:
    sent, forked, undeclared = await three_runs(stage)
    for wanted, found in (
        (EventFilter(repository=PROVIDER.upper()), [undeclared, forked, sent]),
        (EventFilter(repository=CONSUMER), []),
        (EventFilter(repository="no/body"), []),
        (EventFilter(workflow=RELEASE), [undeclared, forked, sent]),
        (EventFilter(workflow="release.yml"), [undeclared, forked, sent]),
        (EventFilter(workflow="Release", conclusion="failure"), [undeclared]),
        (EventFilter(workflow="nightly.yml"), []),
        (EventFilter(blocked=True), [undeclared, forked]),
        (EventFilter(blocked=True, conclusion="success"), [forked]),
    ):
        assert await ids(stage, "events", wanted) == found, wanted


async def test_an_event_is_shown_with_its_envelopes_and_why_they_went_nowhere(
    stage: Stage,
) -> None:
    *_, undeclared = await three_runs(stage)
    shown = await events.show_event(stage.broker, ME, undeclared)
    (envelope,) = shown["envelopes"]
    assert (envelope["kind"], envelope["event_type"]) == ("message", "released")
    assert envelope["blocked_reason"] == "event_type_not_declared"
    assert shown["envelope_blocked_reason"] == "event_type_not_declared"
    assert (envelope["blocked_by"], shown["blocked_by"]) == ("auth", None)
    assert shown["deliveries"] == []
    assert not any(isinstance(value, bytes) for value in envelope.values())


async def test_deliveries_are_found_by_service_consumer_and_correlation(stage: Stage) -> None:
    await three_runs(stage)
    (row,) = await deliveries.list_deliveries(stage.broker, ME)
    assert (row["service"], row["target"], row["source"]) == (SERVICE, CONSUMER, PROVIDER)
    for wanted, found in (
        (DeliveryFilter(service=SERVICE.title().replace("Release", "release")), [row["id"]]),
        (DeliveryFilter(service="kestrel-bank/release"), []),
        (DeliveryFilter(repository=CONSUMER, state="dispatched"), [row["id"]]),
        (DeliveryFilter(repository=PROVIDER), []),
        (DeliveryFilter(correlation_id=row["correlation_id"]), [row["id"]]),
        (DeliveryFilter(correlation_id="cor_0"), []),
    ):
        assert await ids(stage, "deliveries", wanted) == found, wanted


async def test_a_message_keeps_its_body_to_itself_until_asked(stage: Stage) -> None:
    *_, undeclared = await three_runs(stage)
    (row,) = await message_lists.list_messages(stage.broker, ME)
    assert "body" not in row
    event = await events.show_event(stage.broker, ME, undeclared)
    for same in (row["id"], event["envelopes"][0]["id"]):
        plain = await message_lists.show_message(stage.broker, ME, same)
        assert plain == {**row, "redactions": [], "deliveries": []}
        whole = await message_lists.show_message(stage.broker, ME, same, body=True)
        assert whole == {**plain, "body": '{"version": "\x9b31m"}'}
    for wanted, found in (
        (MessageFilter(PROVIDER, "released", event["correlation_id"]), [row["id"]]),
        (MessageFilter(repository=CONSUMER), []),
        (MessageFilter(event_type="other"), []),
        (MessageFilter(correlation_id="cor_0"), []),
    ):
        assert await ids(stage, "messages", wanted) == found, wanted
    assert await ids(stage, "messages", MessageFilter(), Page(before=row["id"])) == []


async def test_the_audit_is_found_by_who_what_where_and_when(stage: Stage) -> None:
    began = stage.clock.now()
    await three_runs(stage)
    whole = await audit.list_entries(stage.broker, ME)
    dispatched = [row for row in whole if row["verb"] == "zekt:delivery:dispatched"]
    at, correlation = dispatched[0]["at"], dispatched[0]["correlation_id"]

    async def verbs(**wanted: Any) -> set[str]:
        found = await audit.list_entries(stage.broker, ME, Page(), AuditFilter(**wanted))
        return {row["verb"] for row in found}

    mine = {f"person:{what}" for what in ("repository:enabled", "workflow:allowed")}
    assert mine <= await verbs(actor=ME.actor) == await verbs(actor="operator:*")
    assert await verbs(actor="nobody") == await verbs(actor="operator_*") == set()
    assert await verbs(verb="zekt:delivery:dispatched") == {"zekt:delivery:dispatched"}
    assert await verbs(verb="*:delivery:*") == {
        "zekt:delivery:created",
        "zekt:delivery:dispatched",
    }
    assert "zekt:delivery:dispatched" in await verbs(account="Kestrel-Bank", repository=CONSUMER)
    assert "zekt:delivery:dispatched" not in await verbs(repository=PROVIDER)
    assert "zekt:run:blocked" not in await verbs(correlation_id=correlation)
    assert await verbs(since=began, until=at) | await verbs(since=at) == {r["verb"] for r in whole}
    assert "zekt:delivery:dispatched" not in await verbs(until=at)


async def test_the_audits_pages_follow_each_other_within_one_moment(stage: Stage) -> None:
    await stage.serve()  # time stands still
    whole = await ids(stage, "audit", AuditFilter())
    assert len(whole) == len(set(whole)) > 4
    paged: list[str] = []
    while page := await ids(stage, "audit", AuditFilter(), Page(2, paged[-1] if paged else None)):
        paged += page
    assert paged == whole


async def test_an_entry_that_was_changed_shows(stage: Stage) -> None:
    await stage.serve()
    *_, second, first = await ids(stage, "audit", AuditFilter())
    for entry in (first, second):
        assert (await audit.show_entry(stage.broker, ME, entry))["intact"]
    await change_actor(stage, first)
    assert not (await audit.show_entry(stage.broker, ME, first))["intact"]
    assert (await audit.show_entry(stage.broker, ME, second))["intact"]  # its own is as it was
    await change_actor(stage, first, gone=True)
    shown = await audit.show_entry(stage.broker, ME, second)
    assert (shown["intact"], shown["previous"]) == (False, None)


async def change_actor(stage: Stage, entry_id: str, *, gone: bool = False) -> None:
    """What nobody may do: change an entry, or take it away."""
    chain, _, number = entry_id.partition(":")
    same = f"WHERE chain = '{chain}' AND seq = {number}"
    statement = f"DELETE FROM audit {same}" if gone else f"UPDATE audit SET actor = 'me' {same}"

    def tamper(connection: Any, rows: Any) -> Any:
        connection.exec_driver_sql(statement)
        return rows

    await stage.broker.database.write(tamper, None)
