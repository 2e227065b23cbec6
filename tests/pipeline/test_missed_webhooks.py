"""Webhooks that GitHub sent and that were not stored: each is taken in once, and none too late."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete

from tests.db.rows import until
from tests.pipeline.missing import (
    DAY,
    HOUR,
    MINUTE,
    ONE,
    asked,
    covered,
    flow,
    lose,
    lose_and_stop_after,
    recover,
)
from tests.pipeline.sending import execute
from tests.stage import Stage, open_stage
from zekt_bot.app import working
from zekt_bot.config import AppCredentials
from zekt_bot.db.tables import coverage, deliveries, inbox, runs
from zekt_bot.domain.webhooks import Receipt
from zekt_bot.github import hook_deliveries
from zekt_bot.pipeline import hook_list, missed_webhooks
from zekt_bot.testing.ratelimits import Caller

if TYPE_CHECKING:
    from zekt_bot.testing import WebhookDelivery


async def test_after_an_hours_outage_everything_is_sent_once(stage: Stage) -> None:
    await stage.serve()
    for _ in range(2):
        await stage.finish_run("build", "test")
    sent = await lose(stage)
    stage.clock.advance(HOUR)
    assert await recover(stage) == asked(stage) == len(sent)
    await flow(stage)
    assert [row["state"] for row in await stage.rows(deliveries)] == ["dispatched"] * 2
    assert {row["recovered"] for row in await stage.rows(inbox)} == {True}
    grace = stage.broker.settings.job_grace
    assert {row["recovered_at"] for row in await stage.rows(runs)} == {stage.clock.now() - grace}
    told = [one.client_payload["zekt"] for one in stage.github.dispatches]
    assert [len(one["jobs"]) for one in told] == [2, 2]

    assert await recover(stage) == 0
    await flow(stage)
    assert (asked(stage), len(stage.github.dispatches)) == (len(sent), 2)


async def test_only_what_is_missing_is_asked_for(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    *came, last = stage.held
    for one in came:
        await stage.receive(one)
    await lose(stage)
    assert (await recover(stage), asked(stage)) == (1, 1)
    rows = {row["guid"]: row["recovered"] for row in await stage.rows(inbox)}
    assert [guid for guid, recovered in rows.items() if recovered] == [last.guid]
    await flow(stage)
    assert len(stage.github.dispatches) == 1


async def test_a_late_original_changes_nothing(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    sent = await lose(stage)
    await recover(stage)
    assert [await stage.receive(one) for one in sent] == [Receipt(duplicate=True)] * len(sent)
    await flow(stage)
    assert [await stage.receive(one) for one in sent] == [Receipt(duplicate=True)] * len(sent)
    await flow(stage)
    assert len(stage.github.dispatches) == 1


async def test_an_event_that_was_sent_again_is_taken_once(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    sent = await lose(stage)
    for one in sent:
        await stage.github.redeliver(one.guid)
    assert (await recover(stage), asked(stage)) == (len(sent), len(sent))


async def test_two_processes_take_each_once(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    sent = await lose(stage)
    stage.clock.advance(HOUR)
    taken = await asyncio.gather(*(missed_webhooks.recover(stage.broker) for _ in range(2)))
    assert sum(taken) == len(sent) == len(await stage.rows(inbox))
    await flow(stage)
    assert len(stage.github.dispatches) == 1


async def test_a_pass_goes_through_all_pages(stage: Stage) -> None:
    await stage.serve()
    for _ in range(18):
        await stage.finish_run("build")
    sent = await lose(stage)
    assert len(sent) > 100
    assert await recover(stage) == len(sent)


async def test_what_died_half_way_goes_on(stage: Stage) -> None:
    await stage.serve()
    sent = await lose_and_stop_after(stage, 8)
    dying = asyncio.create_task(missed_webhooks.recover(stage.broker))

    async def begun() -> bool:
        return len(await stage.rows(inbox)) == 8

    await until(begun)
    dying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await dying
    stage.github.clear_faults()
    assert await recover(stage) == len(sent) - 8
    await flow(stage)
    assert len(stage.github.dispatches) == 4


async def test_it_stops_when_the_process_does(stage: Stage) -> None:
    await stage.serve()
    for _ in range(3):
        await stage.finish_run("build")
    sent = await lose(stage)
    stage.clock.advance(HOUR)
    stops = iter([False, False, True])
    taken = await missed_webhooks.recover(stage.broker, lambda: next(stops))
    assert 0 < taken < len(sent)
    assert (await covered(stage))["covered_to"] == sent[0].delivered_at
    assert await recover(stage) == len(sent) - taken


@pytest.mark.parametrize("status", [500, 503, 403, 401])
async def test_while_github_lists_nothing_it_says_so(stage: Stage, status: int) -> None:
    await stage.serve()
    await stage.finish_run("build")
    sent = await lose(stage)
    stage.github.fail("GET", "/app/hook/deliveries", status=status, times=2)
    assert await recover(stage) == 0
    row = await covered(stage)
    assert str(status) in row["problem"] or "key" in row["problem"]
    assert (row["covered_to"], row["no_gap_since"]) == (None, None)
    stage.github.clear_faults()
    assert await recover(stage) == len(sent)
    assert (await covered(stage))["problem"] is None


async def test_one_that_github_does_not_give_holds_up_no_other(stage: Stage) -> None:
    await stage.serve()
    for _ in range(2):
        await stage.finish_run("build")
    sent = await lose(stage)
    stage.github.fail("GET", f"/app/hook/deliveries/{sent[2].id}", status=502)
    assert await recover(stage) == len(sent) - 1
    row = await covered(stage)
    assert row["covered_to"] == sent[1].delivered_at
    assert "502" in row["problem"]
    assert await recover(stage) == 1
    assert (await covered(stage))["covered_to"] == stage.clock.now() - MINUTE


async def test_a_github_that_gives_nothing_is_left_in_peace(stage: Stage) -> None:
    await stage.serve()
    for _ in range(4):
        await stage.finish_run("build")
    await lose(stage)
    stage.github.fail("GET", ONE, status=500, times=1000)
    assert (await recover(stage), asked(stage)) == (0, 8)


async def test_most_of_the_hours_requests_are_left_to_others(stage: Stage) -> None:
    await stage.serve()
    for _ in range(3):
        await stage.finish_run("build")
    sent = await lose(stage)
    bucket = stage.github.core.limits.look(Caller("app", 5000))
    bucket.used = 2495
    assert 0 < await recover(stage) < len(sent)
    row = await covered(stage)
    assert "few requests left" in row["problem"]
    assert row["covered_to"] < stage.clock.now() - MINUTE
    stage.clock.advance(HOUR)
    await recover(stage)
    assert len(await stage.rows(inbox)) == len(sent)


async def test_what_github_has_no_longer_is_told_as_a_gap(stage: Stage) -> None:
    await stage.serve()
    await recover(stage)
    since = (await covered(stage))["no_gap_since"]
    await stage.finish_run()
    sent = await lose(stage)
    stage.github.fail("GET", ONE, status=404)
    assert await recover(stage) == len(sent) - 1
    row = await covered(stage)
    assert (row["no_gap_since"], row["problem"]) == (sent[0].delivered_at, None)
    assert since < row["no_gap_since"]


async def test_there_is_no_gap_unless_it_looked_away_for_three_days(stage: Stage) -> None:
    await stage.serve()
    await recover(stage)
    first = await covered(stage)
    assert first["no_gap_since"] == first["covered_to"] - 3 * DAY
    stage.clock.advance(2 * DAY)
    await recover(stage)
    assert (await covered(stage))["no_gap_since"] == first["no_gap_since"]
    await stage.finish_run("build")
    await lose(stage)
    stage.clock.advance(4 * DAY)
    assert await recover(stage) == 0
    row = await covered(stage)
    assert row["no_gap_since"] == row["covered_to"] - 3 * DAY


async def test_what_came_a_moment_ago_is_on_its_way(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    sent = await lose(stage)
    assert await missed_webhooks.recover(stage.broker) == 0
    assert await recover(stage) == len(sent)


async def test_of_what_was_not_enabled_then_nothing_is_asked_for(stage: Stage) -> None:
    await stage.finish_run("build")
    await lose(stage)
    stage.clock.advance(HOUR)
    await stage.serve()
    assert (await recover(stage), asked(stage)) == (0, 0)


async def test_the_worker_looks_at_its_start(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run("build")
    await lose(stage)
    stage.clock.advance(HOUR)
    async with working(stage.broker):
        await stage.github.wait_for_dispatches(1)


async def test_without_an_app_there_is_nothing_to_ask(migrated_url: str) -> None:
    async with open_stage(migrated_url, orchestrator=AppCredentials()) as stage:
        assert await recover(stage) == 0
        assert await stage.rows(coverage) == []
        assert not stage.github.requests


async def test_a_pass_takes_so_many_of_the_oldest(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_list, "_MOST", 4)
    await stage.serve()
    await stage.finish_run("build")
    sent = await lose(stage)
    stage.clock.advance(HOUR)
    assert await missed_webhooks.recover(stage.broker) == 4
    assert {row["guid"] for row in await stage.rows(inbox)} == {one.guid for one in sent[:4]}
    assert await recover(stage) == len(sent) - 4


async def test_a_payload_that_no_parser_takes_is_told_as_a_gap(stage: Stage) -> None:
    await stage.serve()
    await stage.finish_run()
    sent = await lose(stage)
    body = b'{"request": {"payload": {"number": 1e999}}}'
    stage.github.fail("GET", f"/app/hook/deliveries/{sent[0].id}", status=200, body=body)
    assert await recover(stage) == len(sent) - 1
    assert (await covered(stage))["no_gap_since"] == sent[0].delivered_at


async def hours_of(stage: Stage, requests: int, most: int) -> int:
    """After how many hours, each with so many requests, the list was read to its end."""
    bucket = stage.github.core.limits.look(Caller("app", 5000))
    for hour in range(1, most):
        bucket.used = 2500 - requests
        await missed_webhooks.recover(stage.broker)
        row = await covered(stage)
        if row["covered_to"] == stage.clock.now() - MINUTE:
            assert (row["problem"], row["cursor"]) == (None, None)
            return hour
        stage.clock.advance(HOUR)
    return most


async def test_a_list_with_more_pages_than_an_hour_has_requests_is_read_to_its_end(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_deliveries, "_PAGE", 4)
    monkeypatch.setattr(hook_list, "_STRETCH", 2)
    await stage.serve()
    sent = []
    for _ in range(12):
        await stage.finish_run("build")
        stage.clock.advance(MINUTE)
        sent += await lose(stage)
    assert len(sent) > 60  # 15 pages
    for one in sent[3:-3]:
        await stage.receive(one)
    stage.clock.advance(2 * MINUTE)
    assert await hours_of(stage, requests=8, most=12) < 12
    assert {row["guid"] for row in await stage.rows(inbox)} == {one.guid for one in sent}
    assert asked(stage) == 6
    first = sent[0].delivered_at
    assert first is not None
    assert (await covered(stage))["no_gap_since"] < first - 2 * DAY


async def lose_a_run_of_many_pages(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> list[WebhookDelivery]:
    """A run whose webhooks fill several pages of GitHub's list, and were lost."""
    monkeypatch.setattr(hook_deliveries, "_PAGE", 4)
    await stage.serve()
    await stage.finish_run("build", "test")
    return await lose(stage)


async def test_what_a_standby_lacked_that_took_over_is_caught_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await lose_a_run_of_many_pages(stage, monkeypatch)
    for one in sent:
        await stage.receive(one)
    assert await recover(stage) == 0
    await execute(stage, delete(inbox))
    assert await recover(stage) == len(sent)


async def test_a_place_that_github_forgot_is_left(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await lose_a_run_of_many_pages(stage, monkeypatch)
    bucket = stage.github.core.limits.look(Caller("app", 5000))
    bucket.used = 2500
    assert await recover(stage) == 0
    assert (await covered(stage))["cursor"]
    stage.clock.advance(HOUR)
    stage.github.fail("GET", "/app/hook/deliveries", status=422)
    assert await recover(stage) == 0
    row = await covered(stage)
    assert row["cursor"] is None
    assert "422" in row["problem"]
    assert await recover(stage) == len(sent)


async def test_it_stops_between_two_pages_when_the_process_does(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await lose_a_run_of_many_pages(stage, monkeypatch)
    stage.clock.advance(HOUR)
    stops = iter([False, True])
    assert await missed_webhooks.recover(stage.broker, lambda: next(stops)) == 0
    assert await recover(stage) == len(sent)


async def test_what_held_up_a_list_is_over_when_it_is_read_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lose_a_run_of_many_pages(stage, monkeypatch)
    monkeypatch.setattr(hook_list, "_STRETCH", 1)
    stage.github.fail("GET", "/app/hook/deliveries", status=502)
    await recover(stage)
    assert "502" in (await covered(stage))["problem"]
    stops = iter([False, True])
    await missed_webhooks.recover(stage.broker, lambda: next(stops))
    assert (await covered(stage))["problem"] is None
