"""Who connects, as far as our own proxies vouch for it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from aiohttp.test_utils import make_mocked_request

from zekt_bot.testing import ManualClock
from zekt_bot.web import client
from zekt_bot.web.tries import Tries

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


class _Transport:
    def __init__(self, address: str) -> None:
        self._address = address

    def get_extra_info(self, name: str, default: object = None) -> object:
        return (self._address, 1234) if name == "peername" else default


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),  # no proxy of ours: what it says is nothing
        ("10.1.1.1", "198.51.100.1", "198.51.100.1"),
        ("10.1.1.1", "192.0.2.66, 198.51.100.1", "198.51.100.1"),  # the client wrote the first
        ("10.1.1.1", "192.0.2.66, 198.51.100.1, 10.2.2.2", "198.51.100.1"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.1.1.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("10.1.1.1", "nonsense", "10.1.1.1"),
        ("10.1.1.1", "", "10.1.1.1"),
    ],
)
def test_the_address_is_the_first_that_is_no_proxy(peer: str, forwarded: str, address: str) -> None:
    headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
    request = make_mocked_request("GET", "/", headers=headers, transport=_Transport(peer))
    found = client.of(request, PROXIES)
    assert found.address == address
    assert found.scheme == ("http" if peer == "203.0.113.5" else "https")


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::7", "2001:db8:0:1:9::8", True),
        ("2001:db8:0:1::7", "2001:db8:0:2::7", False),
    ],
)
def test_whoever_has_a_network_of_addresses_has_no_more_tries(
    first: str, second: str, together: bool
) -> None:
    tries = Tries(ManualClock(), 1)
    assert tries.allows(first)
    assert tries.allows(second) is not together


def test_however_many_come_whoever_tries_on_is_not_forgotten() -> None:
    tries = Tries(ManualClock(), 1)
    assert tries.allows("who tries on")
    for number in range(30_000):
        assert tries.allows(f"another-{number}")
        if number % 9_000 == 0:
            assert not tries.allows("who tries on")
    assert tries.allows("another-0")  # forgotten: it did not try since
    assert not tries.allows("another-29999")


def test_without_a_connection_nobody_is_known() -> None:
    request = make_mocked_request("GET", "/", transport=_Transport(""))
    assert client.of(request, PROXIES) == ("", "http")
