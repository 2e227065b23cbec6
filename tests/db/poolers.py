"""PgBouncer in transaction mode before a test's database, and a stand-in that swaps more often."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from tests.databases import server_user

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import AsyncIterator

_ENCRYPTION = {80877103, 80877104}  # SSLRequest, GSSENCRequest
_CANCEL = 80877102
_SERVERS = 3  # of each client
_START_WITHIN = 60.0


def through(url: str, port: int) -> str:
    """The database of `url`, by a pooler that listens at this port here."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}").geturl()


@asynccontextmanager
async def pgbouncer(url: str) -> AsyncIterator[str]:
    """The address through the PgBouncer that is installed here. It refuses to run as root."""
    to, user = urlsplit(url), server_user()
    folder = Path(mkdtemp(prefix="zekt-pgbouncer-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n{to.path[1:]} = host={to.hostname} port={to.port} user={to.username}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        "auth_type = any\npool_mode = transaction\n"
    )
    program = shutil.which("pgbouncer")
    assert program is not None
    if user:
        shutil.chown(folder, user)
    nowhere = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        program, str(settings), user=user, stdout=nowhere, stderr=nowhere
    )
    try:
        await asyncio.wait_for(_listening(port), _START_WITHIN)
        yield through(url, port)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def _listening(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


class _Message(NamedTuple):
    """One of PostgreSQL's.

    Source: https://www.postgresql.org/docs/current/protocol-message-formats.html
    """

    kind: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        return self.kind + struct.pack("!I", len(self.body) + 4) + self.body


async def _read(reader: StreamReader) -> _Message:
    kind, length = struct.unpack("!cI", await reader.readexactly(5))
    return _Message(kind, await reader.readexactly(length - 4))


class _Server(NamedTuple):
    reader: StreamReader
    writer: StreamWriter
    greeting: bytes


class Swapper:
    """A pooler that gives each client another server connection for each transaction."""

    def __init__(self, url: str) -> None:
        """Stand before the server of `url`. `swaps` counts."""
        self._to = urlsplit(url)
        self.swaps = 0

    async def serve(self, client: StreamReader, to_client: StreamWriter) -> None:
        """Carry one client's messages until it goes."""
        servers: list[_Server] = []
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            startup = await self._greeted(client, to_client)
            if startup:
                servers += [await self._connected(startup) for _ in range(_SERVERS)]
                to_client.write(servers[0].greeting)
                await self._carry(client, to_client, servers)
        for server in servers:
            server.writer.close()
        to_client.close()

    async def _greeted(self, client: StreamReader, to_client: StreamWriter) -> bytes | None:
        """The client's startup message; None: it only asks to cancel something."""
        while True:
            head = await client.readexactly(8)
            length, code = struct.unpack("!II", head)
            rest = await client.readexactly(length - 8)
            if code in _ENCRYPTION:
                to_client.write(b"N")
            else:
                return None if code == _CANCEL else head + rest

    async def _connected(self, startup: bytes) -> _Server:
        reader, writer = await asyncio.open_connection(self._to.hostname, self._to.port)
        writer.write(startup)
        greeting = b""
        while True:
            message = await _read(reader)
            greeting += message.raw
            if message.kind == b"Z":
                return _Server(reader, writer, greeting)

    async def _carry(
        self, client: StreamReader, to_client: StreamWriter, servers: list[_Server]
    ) -> None:
        held: list[_Server] = []  # the one that has a transaction of this client

        async def back(server: _Server) -> None:
            while True:
                message = await _read(server.reader)
                if message == (b"Z", b"I"):
                    held.clear()
                to_client.write(message.raw)

        backs = [asyncio.create_task(back(server)) for server in servers]
        try:
            while (message := await _read(client)).kind != b"X":
                if not held:
                    self.swaps += 1
                    held.append(servers[self.swaps % _SERVERS])
                held[0].writer.write(message.raw)
        finally:
            for task in backs:
                task.cancel()
            await asyncio.gather(*backs, return_exceptions=True)


@asynccontextmanager
async def swapper(url: str) -> AsyncIterator[str]:
    """The address through a `Swapper`, which was of use: it swapped."""
    pooler = Swapper(url)
    listening = await asyncio.start_server(pooler.serve, "127.0.0.1", 0)
    try:
        yield through(url, listening.sockets[0].getsockname()[1])
    finally:
        listening.close()
    assert pooler.swaps > _SERVERS
