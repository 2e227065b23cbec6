"""The load that benchmarks send."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from benchmarks.traffic import open_sink, paced

if TYPE_CHECKING:
    from collections.abc import Iterator

_PER_SECOND = 20.0
_DISPATCH = b"POST /repos/octo/one/dispatches HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"


async def test_a_paced_request_is_taken_when_it_is_its_turn() -> None:
    sink, listening = await open_sink()
    sink.expect(3)
    loop = asyncio.get_running_loop()
    taken: list[float] = []

    def requests() -> Iterator[bytes]:
        for _ in range(3):
            taken.append(loop.time())
            yield _DISPATCH

    began = loop.time()
    answers = await paced(sink.port, requests(), _PER_SECOND)
    await sink.reached.wait()
    listening.close()
    await listening.wait_closed()
    assert (answers.good, answers.bad) == (3, 0)
    late = [moment - began for moment in taken]
    assert all(moment > n / _PER_SECOND - 0.01 for n, moment in enumerate(late)), late


@pytest.mark.parametrize(
    ("path", "status", "key"),
    [
        ("/app/hook/deliveries?per_page=100", 200, None),
        ("/repositories/1/actions/runs?per_page=100&page=1", 200, "workflow_runs"),
        ("/repositories/1/actions/workflows?per_page=100&page=1", 200, "workflows"),
        ("/elsewhere", 404, "message"),
    ],
)
async def test_the_sink_answers_what_periodic_work_asks(
    path: str, status: int, key: str | None
) -> None:
    sink, listening = await open_sink()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{sink.port}{path}") as response,
    ):
        told = await response.json()
    listening.close()
    assert response.status == status
    assert key in told if key else told == []
    assert sink.count == 0
