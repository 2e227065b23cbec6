"""Kept connections on real sockets: what is an answer, what is none, and when one is used again."""

from __future__ import annotations

import asyncio
import re
import ssl
import traceback
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from zekt_bot.errors import GitHubUnreachable
from zekt_bot.github import connections
from zekt_bot.github.connections import Connections
from zekt_bot.github.http import MOST_BYTES, Answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TOKEN = "ghs_0123456789abcdefghij"
NONE = b"HTTP/1.1 204 No Content\r\nX-Poll: 60\r\n\r\n"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Server:
    """Says the same to each request, and notes what came and over how many connections.

    `slowly`: a byte at a time. `closes`: after the first answer.
    """

    said: bytes
    slowly: bool = False
    closes: bool = False
    came: list[bytes] = field(default_factory=list)
    connected: int = 0
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: (\d+)", head)
                assert length is not None
                self.came.append(head + await reader.readexactly(int(length[1])))
                await self.answer(writer)
                if self.closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        step = 1 if self.slowly else max(1, len(self.said))
        for at in range(0, len(self.said), step):
            writer.write(self.said[at : at + step])
            await asyncio.sleep(0)


@asynccontextmanager
async def open_server(
    said: bytes, tls: ssl.SSLContext | None = None, *, slowly: bool = False, closes: bool = False
) -> AsyncIterator[tuple[Server, Connections]]:
    here, scheme = Server(said, slowly, closes), "https" if tls else "http"
    server = await asyncio.start_server(here.serve, "127.0.0.1", 0, ssl=tls)
    here.port = server.sockets[0].getsockname()[1]
    async with server:
        kept = Connections(f"{scheme}://127.0.0.1:{here.port}/api/v3")
        yield here, kept
        await kept.close()


async def post(kept: Connections, path: str = "/repos/octo/one/dispatches") -> Answer:
    return await kept.post(path, b'{"event_type": "x"}', TOKEN)


@pytest.mark.parametrize("slowly", [False, True])
@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (NONE, 204, b""),
        (LONG % (4, b'{"1"'), 200, b'{"1"'),
        (LONG % (0, b""), 200, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + LONG % (2, b"{}"), 200, b"{}"),
        (
            CHUNKED + b"3\r\n{\r\n\r\nb;what=so\r\n1234567890}\r\n0\r\n\r\n",
            200,
            b"{\r\n1234567890}",
        ),
        (CHUNKED + b"0\r\nX-Trailer: 1\r\n\r\n", 200, b""),
        (b"HTTP/1.1 529 \r\nContent-Length: 1\r\n\r\n7", 529, b"7"),
        (b"HTTP/1.1 301\r\nContent-Length: 0\r\nLocation: /x\r\n\r\n", 301, b""),
    ],
)
async def test_an_answer_is_read_however_it_is_cut_and_its_connection_used_again(
    said: bytes, status: int, body: bytes, slowly: bool
) -> None:
    async with open_server(said, slowly=slowly) as (server, kept):
        for _ in range(3):
            answer = await post(kept)
            assert (answer.status, answer.body) == (status, body)
        assert server.connected == 1


async def test_the_request_is_what_github_asks_for() -> None:
    async with open_server(NONE) as (server, kept):
        answer = await post(kept, "repos/octo/one/dispatches?x=%20")
        assert answer.headers == {"x-poll": "60"}
        await post(kept, "/x HTTP/1.1\r\nevil: 1\r\n\r\n\N{SNOWMAN}")
    first, second = server.came
    head, _, body = first.decode().partition("\r\n\r\n")
    line, *headers = head.split("\r\n")
    assert (line, body) == (
        "POST /api/v3/repos/octo/one/dispatches?x=%20 HTTP/1.1",
        '{"event_type": "x"}',
    )
    assert {
        f"host: 127.0.0.1:{server.port}",
        f"authorization: token {TOKEN}",
        "accept: application/vnd.github+json",
        "content-type: application/json",
        "content-length: 19",
    } <= set(headers)
    assert b"POST /api/v3/x%20HTTP/1.1%0D%0Aevil:%201%0D%0A%0D%0A%E2%98%83 HTTP" in second
    assert b"\r\nevil" not in second


async def test_a_host_is_named_as_headers_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def here(made: Any, host: str, port: int, **ways: Any) -> Any:
        assert (host, port) == ("bücher.example", 80)
        return await connect(made, "127.0.0.1", server.port, **ways)

    async with open_server(NONE) as (server, _):
        monkeypatch.setattr(loop, "create_connection", here)
        kept = Connections("http://me:secret@bücher.example/ä/")
        await kept.post("/x", b"", TOKEN)
        await kept.close()
    head = server.came[0].decode()
    assert head.startswith("POST /%C3%A4/x HTTP/1.1\r\nhost: xn--bcher-kva.example\r\n")
    assert "secret" not in head


async def test_what_is_asked_at_once_has_connections_of_its_own() -> None:
    async with open_server(NONE) as (server, kept):
        await asyncio.gather(post(kept), post(kept))
        await asyncio.gather(post(kept), post(kept))
        assert server.connected == 2


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 204 No Content\r\nConnection: Close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        NONE + b"HTTP/1.1 500 What nobody asked for\r\n",
    ],
)
async def test_a_connection_that_cannot_serve_again_is_left(said: bytes) -> None:
    async with open_server(said) as (server, kept):
        for _ in range(2):
            assert (await post(kept)).status in {200, 204}
        assert server.connected == 2


async def test_what_the_other_side_closed_or_may_close_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_server(NONE, closes=True) as (server, kept):
        for _ in range(2):
            assert (await post(kept)).status == 204
            while kept._open:  # until it is heard of
                await asyncio.sleep(0)
        assert server.connected == 2
    monkeypatch.setattr(connections, "_KEPT", 0.0)
    async with open_server(NONE) as (server, kept):
        for _ in range(2):
            assert (await post(kept)).status == 204
        assert server.connected == 2


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async with open_server(b"HTTP/1.1 502 Bad\r\n\r\n<html>", closes=True) as (_, kept):
        assert (await post(kept)).body == b"<html>"


SIZE = 5 * 1024 * 1024


@pytest.mark.parametrize(
    "said",
    [
        LONG % (SIZE, bytes(SIZE)),
        CHUNKED + b"2\r\n\0\0\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (SIZE, bytes(SIZE)),
        b"HTTP/1.1 200 OK\r\n\r\n" + bytes(SIZE),
    ],
)
async def test_of_a_huge_body_only_the_first_part_is_read(said: bytes) -> None:
    async with open_server(said) as (server, kept):
        for _ in range(2):
            assert (await post(kept)).body == bytes(MOST_BYTES)
        assert server.connected == 2


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 204\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nX-Poll",
        b"HTTP/1.1 204 No Content\r\nContent-Length : 3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        LONG % (9, b"half"),
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        CHUNKED + b"4\r\nhalf",
        CHUNKED + b"4\r\nhalf and more\r\n0\r\n\r\n",
        CHUNKED + b"-4\r\nhalf\r\n0\r\n\r\n",
    ],
)
async def test_no_whole_answer_is_unreachable(said: bytes) -> None:
    async with open_server(said, closes=True) as (server, kept):
        for _ in range(2):
            with pytest.raises(GitHubUnreachable, match="does not answer") as caught:
                await post(kept)
        assert server.connected == 2
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


@pytest.mark.parametrize("said", [b"", LONG % (9, b"half")])
async def test_a_server_that_hangs_is_left_in_time(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zekt_bot.github.http.TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    async with open_server(said) as (server, kept):
        with pytest.raises(GitHubUnreachable, match="TimeoutError"):
            await post(kept)
        assert server.connected == 1


def certificate(folder: Path) -> Path:
    """A file with a key, and a certificate of it for 127.0.0.1 that nobody vouches for."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "here")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    signed = made.add_extension(here, critical=False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "here.pem"
    path.write_bytes(key.private_bytes(pem, *plain) + signed.public_bytes(pem))
    return path


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_is_for_who_is_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    path = certificate(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(path)
    async with open_server(NONE, tls) as (server, kept):
        for _ in range(2):
            if trusted:
                assert (await post(kept)).status == 204
            else:
                with pytest.raises(GitHubUnreachable, match="SSLCertVerificationError"):
                    await post(kept)
        assert server.connected == (1 if trusted else 0)


async def test_nobody_there_is_unreachable() -> None:
    async with open_server(NONE) as (_, kept):
        pass
    with pytest.raises(GitHubUnreachable, match="ConnectionRefusedError"):
        await post(kept)


async def test_whoever_stops_waiting_leaves_no_connection_behind() -> None:
    async with open_server(b"") as (server, kept):
        asking = asyncio.create_task(post(kept))
        while not server.came:
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        server.said = NONE
        assert (await post(kept)).status == 204
        assert server.connected == 2
