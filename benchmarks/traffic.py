"""The other side of each measurement, as cheap as Python can be: prebuilt bytes over sockets."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from benchmarks.rows import WORKFLOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_NO_CONTENT = b"HTTP/1.1 204 No Content\r\nX-GitHub-Request-Id: 1:2:3:4:5\r\n\r\n"


def _answer(status: bytes, body: bytes) -> bytes:
    kind = b"Content-Type: application/json; charset=utf-8"
    return b"HTTP/1.1 %s\r\n%s\r\nContent-Length: %d\r\n\r\n%s" % (status, kind, len(body), body)


_TOKEN = _answer(
    b"201 Created", b'{"token": "ghs_benchmark0123456789", "expires_at": "2099-01-01T00:00:00Z"}'
)
_NO_RUNS = _answer(b"200 OK", b'{"total_count": 0, "workflow_runs": []}')
_WORKFLOWS = _answer(
    b"200 OK",
    b'{"total_count": 1, "workflows": [{"id": 1, "name": "Release", "path": "%s", '
    b'"state": "active"}]}' % WORKFLOW.encode(),
)
_NO_WEBHOOKS = _answer(b"200 OK", b"[]")
_NOT_FOUND = _answer(b"404 Not Found", b'{"message": "Not Found"}')
_ANSWERS = {  # by what the request line has in it
    b"/access_tokens": _TOKEN,
    b"/actions/workflows": _WORKFLOWS,
    b"/actions/runs": _NO_RUNS,  # nothing was missed
    b"/app/hook/deliveries": _NO_WEBHOOKS,
}


@dataclass
class Answers:
    """What came back: when each request was answered, how long it took, and how many were 2xx."""

    good: int = 0
    bad: int = 0
    seconds: list[float] = field(default_factory=list)


class _Caller(asyncio.Protocol):
    """One kept connection that sends the next request as soon as an answer has come."""

    def __init__(self, requests: Iterator[bytes], answers: Answers) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests, self._answers = requests, answers
        self._transport: asyncio.Transport | None = None
        self._buffer, self._sent_at = b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or (length and len(body) < int(length.group(1))):
            return
        self._buffer = b""
        self._answers.seconds.append(time.perf_counter() - self._sent_at)
        if head[9:10] == b"2":
            self._answers.good += 1
        else:
            self._answers.bad += 1
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def hammer(port: int, requests: Iterator[bytes], connections: int = 64) -> Answers:
    """Send all requests over so many connections, each one at a time."""
    answers = Answers()
    loop = asyncio.get_running_loop()
    callers = [
        (await loop.create_connection(lambda: _Caller(requests, answers), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(caller.ended for caller in callers))
    return answers


async def ask(port: int, request: bytes) -> tuple[float, bytes]:
    """Seconds until the whole answer was there, and its body; RuntimeError unless it is a 2xx."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length.group(1)) if length else 0)
        took = time.perf_counter() - began
    finally:
        writer.close()
    if head[9:10] != b"2":
        raise RuntimeError(f"{head[9:12]!r}: {body[:200]!r}")
    return took, body


async def paced(port: int, requests: Iterator[bytes], per_second: float) -> Answers:
    """Send one request each so often, whether the ones before were answered or not.

    Each is taken from `requests` when it is its turn, not before.
    """
    answers, pending = Answers(), set()
    began, loop = time.perf_counter(), asyncio.get_running_loop()
    for number in count():
        await asyncio.sleep(began + number / per_second - time.perf_counter())
        request = next(requests, None)
        if request is None:
            break
        one = iter((request,))
        made = loop.create_connection(partial(_Caller, one, answers), "127.0.0.1", port)
        _, caller = await made
        pending.add(caller.ended)
    await asyncio.gather(*pending)
    return answers


@dataclass
class Sink:
    """A GitHub that takes every dispatch: 204, no thought. `heard(body)` is called for each.

    It has the one workflow, and no runs and webhooks to tell of.
    """

    port: int = 0
    count: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    heard: Callable[[bytes], None] = lambda body: None
    wanted: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    answers: dict[bytes, bytes] = field(default_factory=lambda: dict(_ANSWERS))

    def answer(self, path: str, body: bytes) -> None:
        """Answer requests for this path with that JSON."""
        self.answers[path.encode()] = _answer(b"200 OK", body)

    def expect(self, count: int) -> None:
        """Begin to count anew; `reached` is set at so many."""
        self.count, self.wanted = 0, count
        self.reached.clear()

    def take(self, body: bytes) -> None:
        """One dispatch has come."""
        self.last_at = time.perf_counter()
        if self.count == 0:
            self.first_at = self.last_at
        self.count += 1
        self.heard(body)
        if self.count == self.wanted:
            self.reached.set()


class _Taker(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink, self._buffer = sink, b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._buffer += data
        while True:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            size = int(length.group(1)) if length else 0
            if not found or len(rest) < size:
                return
            self._buffer = rest[size:]
            line = head.partition(b"\r\n")[0]
            if b"/dispatches " in line:
                self._sink.take(rest[:size])
                self._transport.write(_NO_CONTENT)
            else:
                answers = (answer for part, answer in self._sink.answers.items() if part in line)
                self._transport.write(next(answers, _NOT_FOUND))


async def open_sink() -> tuple[Sink, asyncio.Server]:
    """Listen on any free port."""
    sink = Sink()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Taker(sink), "127.0.0.1", 0, backlog=1024
    )
    sink.port = server.sockets[0].getsockname()[1]
    return sink, server
