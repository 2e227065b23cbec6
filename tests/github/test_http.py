"""One exchange on a real socket: any status is an answer, silence an error, bodies are bounded."""

from __future__ import annotations

import asyncio
import gzip
import json
import traceback
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.errors import GitHubAnswered, GitHubUnreachable
from zekt_bot.github.http import MOST_BYTES, TIMEOUT, Answer, exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.github.server import FakeGitHub
    from zekt_bot.config import Settings

TOKEN = "ghs_0123456789abcdefghij"
HEADERS = {"authorization": f"token {TOKEN}"}
tokens = st.from_regex(r"gh[opsu]_[A-Za-z0-9]{36}", fullmatch=True)


async def ask(session: aiohttp.ClientSession, settings: Settings, body: bytes = b"") -> Answer:
    return await exchange(session, "POST", f"{settings.github_api_url}/meta", HEADERS, body)


@asynccontextmanager
async def speaking(said: bytes, *, hang: bool = False) -> AsyncIterator[str]:
    """A server that says this to whoever comes, then hangs or closes."""
    done = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        if hang:
            await done.wait()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        done.set()


@pytest.mark.parametrize("status", [200, 204, 304, 401, 404, 422, 429, 500, 503, 520, 529])
async def test_any_status_is_an_answer(
    session: aiohttp.ClientSession, settings: Settings, fake: FakeGitHub, status: int
) -> None:
    fake.script("POST", "/meta", status, X_Poll="60")
    answer = await ask(session, settings, b"{}")
    assert (answer.status, answer.headers["x-poll"]) == (status, "60")
    assert fake.seen[-1].body == b"{}"


async def test_a_session_that_raises_for_a_status_does_not_here(
    settings: Settings, fake: FakeGitHub
) -> None:
    fake.script("POST", "/meta", 500)
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        assert (await ask(session, settings)).status == 500


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_never_followed(
    session: aiohttp.ClientSession, settings: Settings, fake: FakeGitHub, status: int
) -> None:
    fake.script("POST", "/meta", status, location="/elsewhere")
    answer = await ask(session, settings)
    assert (answer.status, answer.headers["location"]) == (status, "/elsewhere")
    assert [seen.path for seen in fake.seen] == ["/meta"]


@pytest.mark.parametrize("packed", [False, True])
async def test_of_a_huge_body_only_the_first_part_is_read(
    session: aiohttp.ClientSession, settings: Settings, fake: FakeGitHub, packed: bool
) -> None:
    body = bytes(20 * 1024 * 1024)
    if packed:
        fake.script("POST", "/meta", 200, gzip.compress(body), content_encoding="gzip")
    else:
        fake.script("POST", "/meta", 200, body)
    answer = await ask(session, settings)
    assert len(answer.body) == MOST_BYTES == 4 * 1024 * 1024
    with pytest.raises(GitHubAnswered, match="not JSON"):
        answer.json()


async def test_a_body_of_the_greatest_length_is_whole(
    session: aiohttp.ClientSession, settings: Settings, fake: FakeGitHub
) -> None:
    fake.script("POST", "/meta", 200, b"7" * MOST_BYTES)
    assert (await ask(session, settings)).body == b"7" * MOST_BYTES


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        HEAD + b"\r\nhalf",
        HEAD + b"Content-Encoding: gzip\r\n\r\nnot gzip!",
    ],
)
async def test_no_whole_answer_is_unreachable(session: aiohttp.ClientSession, said: bytes) -> None:
    async with speaking(said) as url:
        with pytest.raises(GitHubUnreachable, match="does not answer") as caught:
            await exchange(session, "GET", url, HEADERS, b"")
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None, "an error of aiohttp may hold the request's headers"


@pytest.mark.parametrize("said", [b"", HEAD, HEAD + b"\r\nhalf"])
async def test_a_server_that_hangs_is_left_in_time(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    assert TIMEOUT.total == 20
    monkeypatch.setattr("zekt_bot.github.http.TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    async with speaking(said, hang=True) as url:
        with pytest.raises(GitHubUnreachable, match="TimeoutError"):
            await exchange(session, "GET", url, HEADERS, b"")


async def test_nobody_there_is_unreachable(session: aiohttp.ClientSession) -> None:
    async with speaking(b"") as url:
        pass
    with pytest.raises(GitHubUnreachable, match="ClientConnectorError"):
        await exchange(session, "GET", url, HEADERS, b"")


def answer(body: bytes, status: int = 403, **headers: str) -> Answer:
    return Answer(status, {n.replace("_", "-"): v for n, v in headers.items()}, body)


@pytest.mark.parametrize("body", [b"", b"no", b"\xff", b"[" * 200_000, b"9" * 5000, b"{"])
def test_a_body_that_is_not_json_is_an_error_of_github(body: bytes) -> None:
    with pytest.raises(GitHubAnswered, match="403") as caught:
        answer(body).json()
    assert caught.value.status == 403
    assert answer(body).message == ""


@pytest.mark.parametrize("body", [b"[]", b"null", b"5", b'"text"'])
def test_json_that_is_no_object_is_an_error_of_github(body: bytes) -> None:
    with pytest.raises(GitHubAnswered, match="not a JSON object"):
        answer(body).mapping()
    assert answer(body).message == ""


@pytest.mark.parametrize("message", [None, 5, [], {}])
def test_a_message_that_is_no_text_is_none(message: Any) -> None:
    assert answer(json.dumps({"message": message}).encode()).message == ""


@given(said=st.text(st.characters(), max_size=500), token=tokens)
def test_a_message_is_one_short_line_without_a_token(said: str, token: str) -> None:
    message = answer(json.dumps({"message": f"{token} {said} {token}"}).encode()).message
    assert token not in message
    assert len(message) <= 300
    assert len(message.splitlines()) == 1
    assert message.encode(), "it can be stored"


@pytest.mark.parametrize(
    ("given_", "limited"),
    [
        (answer(b"", 429), True),
        (answer(b"", 403), False),
        (answer(b"", 403, retry_after="5"), True),
        (answer(b"", 403, x_ratelimit_remaining=" 0 "), True),
        (answer(b"", 403, x_ratelimit_remaining="10"), False),
        (answer(b'{"message": "API Rate Limit exceeded"}', 403), True),
        (answer(b'{"message": "You triggered an abuse detection mechanism"}', 403), True),
        (answer(b'{"message": "Must have admin rights"}', 403), False),
        (answer(b"", 404, retry_after="5"), False),
        (answer(b"", 500, x_ratelimit_remaining="0"), False),
    ],
)
def test_a_limit_is_told_from_a_verdict(given_: Answer, limited: bool) -> None:
    assert given_.limited is limited


def test_an_answer_as_an_error_says_what_github_said() -> None:
    error = answer(b'{"message": "Not   here"}', 404).error()
    assert (error.status, str(error)) == (404, "GitHub answered 404: Not here")


def test_the_repr_of_an_answer_shows_neither_body_nor_headers() -> None:
    assert TOKEN not in repr(answer(TOKEN.encode(), x_token=TOKEN))
