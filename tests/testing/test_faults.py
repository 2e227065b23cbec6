"""Faults, the request log, being down, and the clock."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from aiohttp import ClientConnectionError, ClientTimeout

from zekt_bot.testing import ManualClock

if TYPE_CHECKING:
    from tests.testing.conftest import Scene

ANY_DISPATCH = "/repos/*/dispatches"


async def test_a_status_so_many_times_with_any_headers(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    headers = {"Retry-After": "7", "X-RateLimit-Remaining": "0"}
    scene.github.fail("POST", ANY_DISPATCH, status=429, times=2, headers=headers)
    answers = [await scene.client.dispatch(token, scene.api.full_name) for _ in range(3)]
    assert [one.status for one in answers] == [429, 429, 204]
    assert answers[0].headers["Retry-After"] == "7"
    assert answers[0].headers["X-RateLimit-Remaining"] == "0"
    assert answers[0].body["status"] == "429"
    assert len(scene.github.dispatches) == 1


async def test_github_may_act_and_then_fail(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    scene.github.fail("POST", ANY_DISPATCH, status=502, when="after", body=b"<html>")
    path = f"{scene.github.api_url}/repos/{scene.api.full_name}/dispatches"
    authorization = {"Authorization": f"token {token}"}
    async with scene.client.session.post(
        path, headers=authorization, data=b'{"event_type": "x"}'
    ) as answer:
        assert (answer.status, await answer.read()) == (502, b"<html>")
    assert len(scene.github.dispatches) == 1


@pytest.mark.parametrize(("when", "acted"), [("before", 0), ("after", 1)])
async def test_the_connection_may_be_dropped(scene: Scene, when: str, acted: int) -> None:
    token = await scene.client.token(scene.installation)
    fault = scene.github.fail("POST", ANY_DISPATCH, reset=True)
    fault.when = "before" if when == "before" else "after"
    with pytest.raises(ClientConnectionError):
        await scene.client.dispatch(token, scene.api.full_name)
    assert len(scene.github.dispatches) == acted
    assert scene.github.requests[-1].status is None


async def test_github_may_never_answer(scene: Scene) -> None:
    scene.github.fail("GET", "/meta", hang=True)
    scene.github.fail("GET", "/meta", delay=0.01)
    with pytest.raises(TimeoutError):
        async with scene.client.session.get(
            f"{scene.github.api_url}/meta", timeout=ClientTimeout(total=0.05)
        ):
            pass
    assert (await scene.client.ask("GET", "/meta")).status == 200


async def test_github_may_wait_for_a_test(scene: Scene) -> None:
    free = asyncio.Event()
    scene.github.fail("GET", "/meta", until=free)
    asking = asyncio.create_task(scene.client.ask("GET", "/meta"))
    while not scene.github.requests:
        await asyncio.sleep(0.01)
    assert not asking.done()
    free.set()
    assert (await asking).status == 200


async def test_faults_can_be_cleared(scene: Scene) -> None:
    fault = scene.github.fail("*", "*", status=500, times=9)
    assert (await scene.client.ask("GET", "/meta")).status == 500
    assert fault.left == 8
    scene.github.clear_faults()
    assert (await scene.client.ask("GET", "/meta")).status == 200


async def test_requests_are_written_down(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    await scene.client.dispatch(token, scene.api.full_name, "build", {"a": 1})
    mint, dispatch = scene.github.requests[-2:]
    assert (mint.method, mint.status) == ("POST", 201)
    assert mint.path == f"/app/installations/{scene.installation.id}/access_tokens"
    assert dispatch.json() == {"event_type": "build", "client_payload": {"a": 1}}
    assert dispatch.token is not None
    assert dispatch.token.installation is scene.installation
    assert token not in repr(dispatch)


async def test_github_may_be_down_and_come_back(scene: Scene) -> None:
    url = scene.github.api_url
    await scene.github.stop()
    with pytest.raises(ClientConnectionError):
        await scene.client.ask("GET", "/meta")
    await scene.github.start()
    assert scene.github.api_url == url
    assert (await scene.client.ask("GET", "/meta")).status == 200


async def test_all_tokens_may_die_and_anonymous_requests_run_out(scene: Scene) -> None:
    token = await scene.client.token(scene.installation)
    scene.github.revoke_tokens()
    assert (await scene.client.dispatch(token, scene.api.full_name)).status == 401
    scene.github.limit_anonymous(1)
    assert (await scene.client.ask("GET", "/meta")).status == 200
    assert (await scene.client.ask("GET", "/meta")).status == 403


async def test_the_clock_wakes_sleepers_when_their_time_comes() -> None:
    clock = ManualClock()
    begin, woken = clock.now(), list[int]()

    async def sleep(seconds: int) -> None:
        await clock.sleep_until(begin + timedelta(seconds=seconds))
        woken.append(seconds)

    tasks = [asyncio.create_task(sleep(seconds)) for seconds in (30, 10, 0)]
    await turns()
    assert woken == [0]
    assert clock.waiting_until == [begin + timedelta(seconds=s) for s in (10, 30)]
    clock.advance(timedelta(seconds=10))
    await turns()
    assert woken == [0, 10]
    assert clock.monotonic() == 10
    tasks[0].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert clock.waiting_until == []


async def turns() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)
