"""How requests end that are under way when the server stops."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.web.front import HEAD, UNKNOWN, Parts, front, signed
from zekt_bot.web.deps import Limits

if TYPE_CHECKING:
    from zekt_bot.domain.webhooks import Receipt, VerifiedWebhook

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_ENDLESS = Limits(body=timedelta(hours=1), store=timedelta(hours=1))
_WITHIN = 60.0
_MORE = 3.0  # seconds that a busy machine may take beside what is set


class Slow(Parts):
    """It stores when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.go_on = asyncio.Event(), asyncio.Event()

    async def store(self, webhook: VerifiedWebhook) -> Receipt:
        self.inside.set()
        await self.go_on.wait()
        return await super().store(webhook)


async def being_stored(port: int, parts: Slow) -> _Connection:
    """A request whose body is complete."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed(b"{}").items())
    writer.write(HEAD + lines.encode() + b"Content-Length: 2\r\n\r\n{}")
    await parts.inside.wait()
    return reader, writer


async def unfinished(port: int) -> _Connection:
    """A request whose body is waited for; anybody may send it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + UNKNOWN + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
    assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"{")
    return reader, writer


async def test_what_is_being_stored_at_the_stop_is_answered_and_nobody_else_let_in() -> None:
    parts = Slow()
    async with asyncio.timeout(_WITHIN), contextlib.AsyncExitStack() as server:
        port, _ = await server.enter_async_context(front(parts))
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await being_stored(port, parts)
        stopping = asyncio.create_task(server.aclose())
        assert await idle.read() == b""  # closed by the stop
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        parts.go_on.set()
        assert (await reader.read()).startswith(b"HTTP/1.1 202 ")
        assert len(parts.stored) == 1
        await stopping
        for each in (writer, idle_writer):
            each.close()


@pytest.mark.parametrize("seconds", [0, 4])
async def test_what_does_not_end_in_time_is_cut_off(seconds: int) -> None:
    parts = Slow()
    async with asyncio.timeout(_WITHIN), contextlib.AsyncExitStack() as server:
        made = front(parts, _ENDLESS, shutdown_timeout=timedelta(seconds=seconds))
        port, _ = await server.enter_async_context(made)
        under_way = [await being_stored(port, parts), await unfinished(port)]
        began = monotonic()
        await server.aclose()
        assert monotonic() - began < seconds + _MORE
        for reader, writer in under_way:
            assert await reader.read() == b""
            writer.close()
    assert parts.stored == []
