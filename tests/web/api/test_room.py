"""What the bodies of runs take of the server's memory, and what is left to others."""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.stage import ME, RELEASE
from tests.web.api.calling import RECEIVE, open_api
from zekt_bot.operations import repositories, workflows
from zekt_bot.testing import webhook_headers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.web.api.calling import Api
    from zekt_bot.testing import ManualClock, Repository, WorkflowRun

MEBIBYTE = 1 << 20
LARGEST = "x" * 524_286


async def stalled(api: Api, run: WorkflowRun, size: int = 600_000) -> bytes:
    """The head that a caller hears whose body stops before its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    head = f"POST {RECEIVE} HTTP/1.1\r\nHost: z\r\nContent-Length: {size + 1}\r\n"
    writer.write(f"{head}Authorization: Bearer {api.token(run)}\r\n\r\n".encode())
    writer.write(b" " * size)
    try:
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


@asynccontextmanager
async def stalling(api: Api, runs: Sequence[WorkflowRun], most: int) -> AsyncIterator[None]:
    """Bodies of 300,000 bytes that stop, fifteen of each run; all but `most` are refused."""
    slow = {asyncio.create_task(stalled(api, run, 300_000)) for run in runs for _ in range(15)}
    told: set[asyncio.Task[bytes]] = set()
    async with asyncio.timeout(60):
        while len(told) < len(slow) - most:
            done, _ = await asyncio.wait(slow - told, return_when=asyncio.FIRST_COMPLETED)
            told |= done
    for each in told:
        assert b" 503 " in each.result()
        assert b"\r\nRetry-After: 5\r\n" in each.result()
    yield
    for each in slow:
        each.cancel()


async def enabled(api: Api, repository: Repository) -> WorkflowRun:
    """A run of a repository that may send messages."""
    run = await api.stage.github.start_run(repository, RELEASE)
    await repositories.enable(api.stage.broker, ME, repository.full_name)
    await workflows.allow(api.stage.broker, ME, repository.full_name, RELEASE)
    return run


async def strangers(api: Api) -> list[WorkflowRun]:
    """Runs of repositories that nobody enabled, of two accounts."""
    github = api.stage.github
    names = ("mallory", "trudy")
    found = [github.repository(github.account(name), "x") for name in names]
    return [await github.start_run(each, "x.yml") for each in found]


async def test_runs_whose_bodies_stop_leave_room_for_webhooks(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    async with open_api(migrated_sqlite, clock, inflight_bytes=2 * MEBIBYTE) as api:
        stranger = api.stage.github.repository(api.stage.github.account("mallory"), "x")
        run = await api.stage.github.start_run(stranger, "x.yml")
        slow = [asyncio.create_task(stalled(api, run)) for _ in range(2)]
        (told,), waiting = await asyncio.wait(slow, return_when=asyncio.FIRST_COMPLETED)
        assert b" 503 " in told.result()
        body = orjson.dumps({"zen": "x" * (MEBIBYTE + 200_000)})
        headers = webhook_headers(api.stage.app, "ping", body)
        async with api.session.post(
            "/webhooks/github", data=io.BytesIO(body), headers=headers
        ) as answer:
            assert answer.status == 200
        for each in waiting:
            each.cancel()


@pytest.mark.parametrize("hogs", ["strangers", "a provider", "both"])
async def test_whose_bodies_stop_leaves_room_for_every_other_account(
    migrated_url: str, clock: ManualClock, hogs: str
) -> None:
    async with open_api(migrated_url, clock, inflight_bytes=8 * MEBIBYTE) as api:
        provider = await enabled(api, api.stage.provider)
        other = await enabled(api, api.stage.consumer)
        assert api.stage.provider.owner != api.stage.consumer.owner
        runs = [] if hogs == "strangers" else [provider]
        runs += [] if hogs == "a provider" else await strangers(api)
        async with stalling(api, runs, most=13):
            assert (await api.send(other, LARGEST)).status == 200


async def test_an_account_has_one_room_for_all_its_repositories(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    async with open_api(migrated_sqlite, clock, inflight_bytes=8 * MEBIBYTE) as api:
        provider = await enabled(api, api.stage.provider)
        sibling = api.stage.github.repository(api.stage.provider.owner, "sibling")
        run = await enabled(api, sibling)
        async with stalling(api, [provider], most=6):
            said = await api.send(run, LARGEST)
            assert (said.status, "of this account" in said.body["error"]) == (503, True)
        assert (await api.send(run, LARGEST)).status == 200


async def test_the_smallest_room_takes_the_largest_message(
    migrated_sqlite: str, clock: ManualClock
) -> None:
    async with open_api(migrated_sqlite, clock, inflight_bytes=MEBIBYTE) as api:
        run = await enabled(api, api.stage.provider)
        assert (await api.send(run, LARGEST)).status == 200
