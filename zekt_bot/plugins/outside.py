"""Requests of channels to addresses outside GitHub: the public internet's alone.

The address is checked on the socket that is really opened, so neither an IP literal, nor a name
that resolves to another address a moment later, nor a redirect leads into the operator's network.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from zekt_bot.errors import AddressRefused, RequestFailed
from zekt_bot.github.http import TIMEOUT, USER_AGENT, Answer, read_body

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from zekt_bot.github.client import RepositoryApi

    Address = IPv4Address | IPv6Address
    Network = IPv4Network | IPv6Network

# Public by their numbers, but the cloud's own within it: metadata and keys of the machine. Python
# takes the first, which is reserved, for global in some versions.
_CLOUD = (ipaddress.IPv4Network("192.0.0.0/24"), ipaddress.IPv4Network("168.63.129.16/32"))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# All that is given out for the public internet. Python takes more for global: fec0::/10 of old
# private networks, 64:ff9b:1::/48 and ::ffff:0:0:0/96, which translate to any IPv4 address.
_PUBLIC = ipaddress.IPv6Network("2000::/3")


_MOST_NAMES = 8  # that are looked up at the same time
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class _NotPublic(OSError):
    """The connector takes it for an address that cannot be connected to."""


class _Names(AbstractResolver):
    """Looks names up in threads of its own.

    The event loop's look up GitHub's: a consumer whose names nobody answers for must not keep them.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_MOST_NAMES, thread_name_prefix="zekt-names")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        wanted = (family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        ask = partial(socket.getaddrinfo, host, port, *wanted)
        found: list[tuple[Any, ...]]
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [
            ResolveResult(
                hostname=host,
                host=place[0],
                port=place[1],
                family=kind,
                proto=proto,
                flags=_NUMERIC,
            )
            for kind, _, proto, _, place in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Outside:
    """One session for all channels: no redirects, no cookies, no proxies of the environment."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        """`allowed`: networks that channels may reach though they are not public."""
        self._allowed = tuple(allowed)
        self._names = _Names()  # no thread starts yet
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()
        await self._names.close()

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Send one request; of the answer's body, at most 4 MiB are read.

        Raises:
            AddressRefused: the address is neither public nor allowed.
            RequestFailed: no whole answer came within 20 seconds, or the URL is none.
        """
        if not url.lower().startswith(("http://", "https://")):
            raise RequestFailed("A channel's URL begins with https:// or http://.")
        try:
            async with self._opened().request(
                method,
                url,
                headers={"user-agent": USER_AGENT, **headers},
                data=body or None,
                allow_redirects=False,
            ) as response:
                content = await read_body(response)
                lowered = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, lowered, content)
        except aiohttp.ClientConnectorError as error:
            refused = isinstance(error.os_error, _NotPublic)
            reason = type(error.os_error).__name__
        except (aiohttp.ClientError, OSError, ValueError) as error:
            refused, reason = False, type(error).__name__
        # Raised here, not above: an aiohttp error in the chain may hold the request's headers.
        if refused:
            raise AddressRefused
        raise RequestFailed(f"No answer came ({reason}).")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:  # most servers have no channel that calls out
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=self._names, socket_factory=self._socket),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=TIMEOUT,
                trust_env=False,
            )
        return self._session

    def _socket(self, found: tuple[Any, ...]) -> socket.socket:
        """A socket for an address that was resolved (as of `getaddrinfo`)."""
        family, kind, protocol, _, place = found
        if not self.reaches(ipaddress.ip_address(place[0].partition("%")[0])):
            raise _NotPublic(f"{AddressRefused()}")
        return socket.socket(family, kind, protocol)

    def reaches(self, address: Address) -> bool:
        """Whether a channel may connect to this address."""
        meant = _meant(address)
        if any(meant in network for network in self._allowed if network.version == meant.version):
            return True
        if meant.version == 4:
            public = not any(meant in network for network in _CLOUD)
        else:
            public = meant in _PUBLIC
        return public and meant.is_global and not meant.is_multicast


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


class ChannelClient:
    """`zekt_bot.ChannelApi`: the consumer's installation, and the world outside."""

    def __init__(self, github: RepositoryApi, outside: Outside) -> None:
        """Put the two together."""
        self._permit = github.permit
        self._outside = outside
        self.post = github.post
        self.get = github.get
        self.installation = github.installation
        self.now = github.now

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Send a request to an address outside GitHub, if the policy still allows it."""
        await self._permit()
        return await self._outside.request(method, url, headers, body)
