"""Who connects: what a trusted proxy says of its client, and nobody else may say."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Network, IPv6Network

    from aiohttp import web


class Client(NamedTuple):
    """The address of whoever asks (`""`: unknown) and the scheme that they used."""

    address: str
    scheme: str


def of(request: web.Request, proxies: Sequence[IPv4Network | IPv6Network]) -> Client:
    """The client, as far back as `proxies` vouch for it.

    Each proxy appends the address that it saw to X-Forwarded-For: read from the right, the first
    one that is no proxy of ours is the client. What stands further left anybody can write.
    """
    peer = request.transport.get_extra_info("peername") if request.transport else None
    address = _plain(str(peer[0])) if peer else ""
    if not _trusted(address, proxies):
        return Client(address, "http")
    scheme = request.headers.get("X-Forwarded-Proto", "http").split(",")[-1].strip().lower()
    heard = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
    for each in reversed([one.strip() for one in heard if one.strip()]):
        if not _is_address(each):
            break
        address = _plain(each)
        if not _trusted(address, proxies):
            break
    return Client(address, "https" if scheme == "https" else "http")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _plain(address: str) -> str:
    """An IPv4 address as itself, where a socket of both kinds writes `::ffff:192.0.2.1`."""
    mapped = getattr(ip_address(address), "ipv4_mapped", None) if _is_address(address) else None
    return str(mapped or address)


def _trusted(address: str, proxies: Sequence[IPv4Network | IPv6Network]) -> bool:
    return _is_address(address) and any(ip_address(address) in network for network in proxies)
