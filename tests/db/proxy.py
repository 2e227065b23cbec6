"""A wire between us and PostgreSQL that a test can cut, also at the very COMMIT."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator

Way = Literal["to_server", "to_client"]


class Proxy:
    """Carries bytes both ways until it is told where to lose a COMMIT."""

    def __init__(self, url: str) -> None:
        """Stand before the server of `url`."""
        self._parts = urlsplit(url)
        self._wires: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        # Once: `to_server` loses the COMMIT, `to_client` the answer to one that is done.
        self.lose_commit: Way | None = None
        # While it is, the server's bytes are lost and the connections stand.
        self.silent = False

    @property
    def url(self) -> str:
        """The database's address through this proxy."""
        host = f"{self._parts.username}@127.0.0.1:{self._port}"
        return self._parts._replace(netloc=host).geturl()

    async def open(self) -> None:
        """Take connections, always at the same port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut every connection and take no more."""
        if self._server:
            self._server.close()
        for wire in self._wires:
            wire.cancel()
        await asyncio.gather(*self._wires, return_exceptions=True)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        wire = asyncio.ensure_future(self._carry(reader, writer))
        self._wires.add(wire)
        wire.add_done_callback(self._wires.discard)

    async def _carry(self, client: StreamReader, to_client: StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        ways = [
            asyncio.ensure_future(self._copy(client, to_server, "to_server")),
            asyncio.ensure_future(self._copy(server, to_client, "to_client")),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            to_client.transport.abort()
            to_server.transport.abort()
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _copy(self, source: StreamReader, target: StreamWriter, way: Way) -> None:
        while data := await source.read(65536):
            if self.lose_commit == way and b"COMMIT" in data:
                self.lose_commit = None
                return
            if not (self.silent and way == "to_client"):
                target.write(data)


@asynccontextmanager
async def proxy_before(url: str) -> AsyncIterator[Proxy]:
    """A proxy that takes connections to the server of `url`."""
    proxy = Proxy(url)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
