"""Requests of channels: the public internet and what is allowed, on the connection really made."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.errors import AddressRefused, RequestFailed
from zekt_bot.plugins.outside import Outside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@asynccontextmanager
async def hook(outside: Outside) -> AsyncIterator[tuple[str, list[web.Request]]]:
    """A server on the loopback interface; its URL, and the requests that it got."""
    got: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        got.append(request)
        headers = {"Location": "http://127.0.0.1:9/"} if request.path == "/away" else {}
        return web.Response(status=302 if headers else 200, headers=headers, body=b"thanks")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        try:
            yield str(server.make_url("/")), got
        finally:
            await outside.close()


async def test_a_loopback_address_is_refused_before_anything_is_sent() -> None:
    outside = Outside()
    async with hook(outside) as (url, got):
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            with pytest.raises(AddressRefused, match="ZEKT_CHANNEL_ALLOWED_NETS"):
                await outside.request("POST", url.replace("127.0.0.1", host), {}, b"{}")
        assert got == []


async def test_an_allowed_address_is_reached_with_the_channels_headers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    outside = Outside(LOOPBACK)
    async with hook(outside) as (url, got):
        answer = await outside.request("POST", url, {"X-Mine": "1"}, b"{}")
        assert (answer.status, answer.body) == (200, b"thanks")
        assert (got[0].method, got[0].headers["X-Mine"]) == ("POST", "1")
        assert await got[0].read() == b"{}"


async def test_a_redirect_is_an_answer() -> None:
    outside = Outside(LOOPBACK)
    async with hook(outside) as (url, got):
        answer = await outside.request("GET", f"{url}away", {}, b"")
        assert (answer.status, answer.headers["location"]) == (302, "http://127.0.0.1:9/")
        assert len(got) == 1


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "hooks.example", "http://", "http://127.0.0.1:1/", "https://a b/"]
)
async def test_what_cannot_be_reached_is_said_without_the_headers(url: str) -> None:
    outside = Outside(LOOPBACK)
    with pytest.raises(RequestFailed) as caught:
        await outside.request("POST", url, {"authorization": "secret"}, b"")
    assert "secret" not in str(caught.value)
    assert not isinstance(caught.value, AddressRefused)
    await outside.close()


async def test_names_that_nobody_answers_for_hold_up_no_other_of_the_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered, look_up, asked = threading.Event(), socket.getaddrinfo, list[Any]()

    def slow(host: Any, *rest: Any, **more: Any) -> Any:
        if str(host).endswith(".example"):
            asked.append(host)
            answered.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "nobody answers")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    outside = Outside()
    urls = [f"https://{number}.example/" for number in range(64)]
    asking = [asyncio.create_task(outside.request("GET", url, {}, b"")) for url in urls]
    try:
        async with asyncio.timeout(15):
            while len(asked) < 5:
                await asyncio.sleep(0.01)
            assert await asyncio.get_running_loop().getaddrinfo("localhost", 443)
    finally:
        answered.set()
        ended = await asyncio.gather(*asking, return_exceptions=True)
        await outside.close()
    assert {type(each) for each in ended} == {RequestFailed}


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("fec0::1", False),
        ("64:ff9b:1::7f00:1", False),
        ("::ffff:0:7f00:1", False),
        ("::127.0.0.1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
        ("192.0.0.192", False),
        ("168.63.129.16", False),
        ("64:ff9b::a83f:8110", False),
        ("168.63.129.17", True),
    ],
)
def test_only_public_addresses_are_reached(address: str, reached: bool) -> None:
    assert Outside().reaches(ipaddress.ip_address(address)) is reached


def _stands_for_itself(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if address.version == 4:
        return True
    nat64 = address in ipaddress.ip_network("64:ff9b::/96")
    return not (nat64 or address.ipv4_mapped or address.sixtofour)


plain = st.ip_addresses().filter(_stands_for_itself)


@given(plain, plain)
def test_an_allowed_network_opens_nothing_else(
    allowed: ipaddress.IPv4Address, asked: ipaddress.IPv4Address
) -> None:
    outside = Outside([ipaddress.ip_network(str(allowed))])
    assert outside.reaches(allowed)
    assert asked == allowed or outside.reaches(asked) is Outside().reaches(asked)
