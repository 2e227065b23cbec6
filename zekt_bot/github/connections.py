"""Kept connections to GitHub's API, for the one request that is made for every delivery.

HTTP/1.1 and no more than it takes: a session of aiohttp needs five times the CPU for such a POST
(ADR 26). All else is asked with `exchange`.

Source: https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import asyncio
import re
import ssl
from urllib.parse import quote, urlsplit

import aiohttp

from zekt_bot.deadlines import Deadlines
from zekt_bot.errors import GitHubUnreachable
from zekt_bot.github import http
from zekt_bot.github.http import HEADERS, MOST_BYTES, Answer

_KEPT = 15.0  # seconds without use, after which the other side may be about to close it
_LONGEST_HEAD = 64 * 1024
_AS_IT_IS = "/?:@!$&'()*+,;=%~"  # in a path, which may have a query
_HEAD = re.compile(
    r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n]*)?"
    r"(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n]*)*"
)
_LENGTH = re.compile(r"[0-9]{1,10}")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")
_EMPTY = frozenset({204, 304})
_FIXED = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())


class Connections:
    """Connections to one host, each for one request at a time; as many as there are at once."""

    def __init__(self, base_url: str) -> None:
        """Connect to nothing yet."""
        url = urlsplit(base_url)
        self._is_tls = url.scheme == "https"
        self._host, self._port = url.hostname or "", url.port or (443 if self._is_tls else 80)
        self._prefix = quote(url.path.rstrip("/"), safe=_AS_IT_IS)
        host = url.netloc.rpartition("@")[2]
        named = host if host.isascii() else host.encode("idna").decode()
        self._fixed = f"host: {named}\r\n{_FIXED}"
        self._tls: ssl.SSLContext | None = None
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._deadlines = Deadlines()

    async def close(self) -> None:
        """Close those that are kept, and those in use."""
        for connection in self._open:
            connection.close()
        while self._open:
            await asyncio.sleep(0)

    async def post(self, path: str, body: bytes, token: str) -> Answer:
        """POST JSON with an installation's token; of the answer's body, at most 4 MiB are read.

        Raises:
            GitHubUnreachable: no whole answer came within 20 seconds.
        """
        target = f"{self._prefix}/{quote(path.lstrip('/'), safe=_AS_IT_IS)}"
        request = (
            f"POST {target} HTTP/1.1\r\n{self._fixed}"
            f"authorization: token {token}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        try:
            with self._deadlines.within(http.TIMEOUT.total or 0):
                return await self._ask(request.encode("ascii") + body)
        except (aiohttp.ClientError, OSError) as error:
            reason = type(error).__name__
        raise GitHubUnreachable(f"GitHub does not answer ({reason}).")

    async def _ask(self, request: bytes) -> Answer:
        connection = self._kept() or await self._connect()
        try:
            answer = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        if connection.may_be_kept:
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def _kept(self) -> _Connection | None:
        """The one that was used last. With it, all are too old."""
        since = asyncio.get_running_loop().time() - _KEPT
        while self._idle:
            connection = self._idle.pop()
            if connection.serves(since):
                return connection
            connection.close()
        return None

    async def _connect(self) -> _Connection:
        if self._is_tls and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._open),
            self._host,
            self._port,
            ssl=self._tls,
            happy_eyeballs_delay=0.25,
        )
        return connection


class _Connection(asyncio.Protocol):
    """One connection. What it raises is aiohttp's, as a session would."""

    _transport: asyncio.Transport

    def __init__(self, beside: set[_Connection]) -> None:
        """`beside`: it stands there as long as it is open."""
        self.may_be_kept = True
        self.idle_since = 0.0
        self._beside = beside
        self._came = bytearray()
        self._ended: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # of a stream, it is one
        self._beside.add(self)

    def data_received(self, data: bytes) -> None:
        self._came += data
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._ended = error or aiohttp.ServerDisconnectedError()
        self._beside.discard(self)
        self._wake()

    def close(self) -> None:
        self._transport.abort()

    def serves(self, since: float) -> bool:
        """Whether it may be used again. What nobody asked for is no answer to the next request."""
        return self._ended is None and not self._came and self.idle_since > since

    async def ask(self, request: bytes) -> Answer:
        """Send a whole request; its answer."""
        self._transport.write(request)
        status, headers = await self._head()
        while status < 200:  # it has more to say
            status, headers = await self._head()
        if "close" in headers.get("connection", "").lower():
            self.may_be_kept = False
        body = b"" if status in _EMPTY else await self._body(headers)
        return Answer(status, headers, body)

    async def _head(self) -> tuple[int, dict[str, str]]:
        head = (await self._until(b"\r\n\r\n")).decode("latin-1")
        found = _HEAD.fullmatch(head)
        if found is None:
            raise aiohttp.ClientPayloadError
        if found[1] == "0":
            self.may_be_kept = False
        headers = {}
        for line in head.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(found[2]), headers

    async def _body(self, headers: dict[str, str]) -> bytes:
        """The first 4 MiB of it."""
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked":
                raise aiohttp.ClientPayloadError
            return await self._chunks()
        if length is None:
            return await self._rest()
        if not _LENGTH.fullmatch(length):
            raise aiohttp.ClientPayloadError
        return await self._exactly(int(length))

    async def _chunks(self) -> bytes:
        body = b""
        while size := await self._size():
            if size > MOST_BYTES - len(body):
                self.may_be_kept = False
                return body + await self._exactly(MOST_BYTES - len(body))
            body += await self._exactly(size)
            if await self._until(b"\r\n"):
                raise aiohttp.ClientPayloadError
        while await self._until(b"\r\n"):  # a trailer
            pass
        return body

    async def _size(self) -> int:
        found = _SIZE.fullmatch(await self._until(b"\r\n"))
        if found is None:
            raise aiohttp.ClientPayloadError
        return int(found[1], 16)

    async def _rest(self) -> bytes:
        """All until the other side closes."""
        self.may_be_kept = False
        while self._ended is None and len(self._came) < MOST_BYTES:
            await self._more()
        if not isinstance(self._ended, aiohttp.ServerDisconnectedError | None):
            raise self._ended
        return bytes(self._came[:MOST_BYTES])

    async def _exactly(self, count: int) -> bytes:
        if count > MOST_BYTES:
            self.may_be_kept, count = False, MOST_BYTES
        while len(self._came) < count:
            await self._more()
        return self._taken(count)

    async def _until(self, mark: bytes) -> bytes:
        while (at := self._came.find(mark)) < 0:
            if len(self._came) > _LONGEST_HEAD:
                raise aiohttp.ClientPayloadError
            await self._more()
        return self._taken(at + len(mark))[:at]

    def _taken(self, count: int) -> bytes:
        taken = bytes(self._came[:count])
        del self._came[:count]
        return taken

    async def _more(self) -> None:
        """Wait until more has come."""
        if self._ended is not None:
            raise self._ended
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
