"""What the bodies of runs take of the server's memory, and what is left to webhooks."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import orjson

from tests.web.api.calling import RECEIVE, open_api
from zekt_bot.testing import webhook_headers

if TYPE_CHECKING:
    from tests.web.api.calling import Api
    from zekt_bot.testing import ManualClock, WorkflowRun

MEBIBYTE = 1 << 20


async def stalled(api: Api, run: WorkflowRun) -> bytes:
    """The first line that a caller hears whose body stops before its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    head = f"POST {RECEIVE} HTTP/1.1\r\nHost: z\r\nContent-Length: 650000\r\n"
    writer.write(f"{head}Authorization: Bearer {api.token(run)}\r\n\r\n".encode())
    writer.write(b" " * 600_000)
    try:
        return await reader.readline()
    finally:
        writer.close()


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
