"""Reading: one event and one delivery with all that happened to them, and nothing sealed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.stage import ME
from zekt_bot.domain.lists import DeliveryFilter, Page
from zekt_bot.operations import deliveries, events
from zekt_bot.operations.preflight.findings import RUN_NAME

NAMED = RUN_NAME.removeprefix("run-name: ")

if TYPE_CHECKING:
    from tests.stage import Stage


async def test_a_delivery_tells_its_attempts_and_its_history(stage: Stage) -> None:
    await stage.serve()
    stage.github.fail("POST", "/repos/*/dispatches", status=500, body={"message": "Oops"})
    await stage.finish_run("build")
    await stage.flow()
    stage.clock.advance(timedelta(minutes=1))
    await stage.deliver()
    wanted = DeliveryFilter(state="dispatched")
    (row,) = await deliveries.list_deliveries(stage.broker, ME, Page(), wanted)
    shown = await deliveries.show_delivery(stage.broker, ME, row["id"])
    assert [(a["outcome"], a["status"]) for a in shown["attempts"]] == [
        ("retry", 500),
        ("dispatched", 204),
    ]
    assert "Oops" in shown["attempts"][0]["error"]
    assert shown["attempts"][1]["error"] is None
    assert shown["history"][-1]["verb"].endswith(":dispatched")
    assert shown["waits_until"] is None
    assert "lease" not in shown
    event = await events.show_event(stage.broker, ME, row["correlation_id"])
    for same in (event["id"], row["envelope"]):
        assert event == await events.show_event(stage.broker, ME, same)
    assert [job["name"] for job in event["jobs"]] == ["build"]
    assert [one["id"] for one in event["deliveries"]] == [row["id"]]


async def test_what_github_holds_up_says_until_when(stage: Stage) -> None:
    await stage.serve()
    stage.github.fail("POST", "/repos/*/dispatches", status=429, headers={"Retry-After": "180"})
    await stage.finish_run("build")
    await stage.flow()
    until = f"waiting for GitHub until {stage.clock.now() + timedelta(minutes=3):%H:%MZ}"
    (row,) = await deliveries.list_deliveries(stage.broker, ME, Page(), DeliveryFilter())
    shown = await deliveries.show_delivery(stage.broker, ME, row["id"])
    (part,) = (await events.show_event(stage.broker, ME, row["correlation_id"]))["deliveries"]
    assert {row["waiting"], shown["waiting"], part["waiting"]} == {until}
    assert until in shown["why"]


async def test_a_delivery_tells_the_runs_that_it_led_to(stage: Stage) -> None:
    path = ".github/workflows/react.yml"
    stage.github.add_workflow(stage.consumer, path, on_dispatch_types=("*",), run_name=NAMED)
    await stage.serve()
    await stage.finish_run("build")
    await stage.flow()
    await stage.github.settle()
    run = stage.github.runs[-1]
    await run.complete("failure")
    await stage.listen()
    (row,) = await deliveries.list_deliveries(stage.broker, ME, Page())
    shown = await deliveries.show_delivery(stage.broker, ME, row["id"])
    (told,) = shown["runs"]
    assert (told["conclusion"], told["bound_by"], told["hops"]) == ("failure", "title", 1)
    assert told["html_url"].endswith(f"/actions/runs/{run.id}")
    assert {"display_title", "head_branch", "actor"}.isdisjoint(told)
    event = await events.show_event(stage.broker, ME, row["correlation_id"])
    assert event["reactions"] == [told]


async def test_a_delivery_that_nothing_reacted_to_says_so_and_why(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    await stage.flow()
    (row,) = await deliveries.list_deliveries(stage.broker, ME, Page())
    shown = await deliveries.show_delivery(stage.broker, ME, row["id"])
    assert (shown["why"], shown["silence"]) == ("GitHub took it.", [])
    stage.clock.advance(timedelta(minutes=10))
    shown = await deliveries.show_delivery(stage.broker, ME, row["id"])
    assert shown["why"] == "GitHub took it; no workflow reacted."
    assert "aurora-labs/release kestrel-bank/core-sync" in shown["what_to_do"]
    assert any("repository_dispatch" in text for text in shown["silence"])
    stage.github.fail("GET", "*", status=500, times=99)
    assert (await deliveries.show_delivery(stage.broker, ME, row["id"]))["silence"] == []


async def test_pages_follow_each_other(stage: Stage) -> None:
    await stage.serve()
    for _ in range(3):
        await stage.finish_run()
        stage.clock.advance(timedelta(seconds=1))
        await stage.prepare()
    stage.clock.advance(timedelta(seconds=5))
    await stage.flow()
    for listing in (deliveries.list_deliveries, events.list_events):
        whole = [row["id"] for row in await listing(stage.broker, ME, Page())]
        assert whole == sorted(whole, reverse=True)
        assert len(whole) == 3
        paged, before = [], None
        while page := await listing(stage.broker, ME, Page(limit=1, before=before)):
            paged += [row["id"] for row in page]
            before = paged[-1]
        assert paged == whole
