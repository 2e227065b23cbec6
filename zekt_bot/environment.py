"""The environment, read as typed values: each reader raises ValueError for what it is not."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import urlsplit

from zekt_bot.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")
GitHubKind = Literal["com", "ghe", "server"]


class Environment:
    """Reads typed values and remembers which names it was asked for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.asked: set[str] = set()

    def text(self, name: str) -> str | None:
        """The value of NAME, or the content of the file that NAME_FILE names."""
        self.asked |= {name, f"{name}_FILE"}
        value, path = self._environ.get(name), self._environ.get(f"{name}_FILE")
        if value and path:
            raise ConfigurationError(f"{name} and {name}_FILE are both set; remove one.")
        if path:
            try:
                value = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
                raise ConfigurationError(f"{name}_FILE: cannot read {path}: {reason}.") from None
        return value or None

    def get(self, name: str, read: Callable[[str], T], default: T, what: str) -> T:
        """NAME read by `read`; a ValueError of it names `what` would be right."""
        value = self.text(name)
        if value is None:
            return default
        try:
            return read(value)
        except ValueError:
            raise ConfigurationError(f"{name} must be {what}.") from None

    def words(self, name: str) -> tuple[str, ...]:
        """NAME as a list of words divided by commas."""
        return tuple(word.strip() for word in (self.text(name) or "").split(",") if word.strip())


def url(value: str) -> str:
    parts = urlsplit(value)
    reachable = parts.hostname and parts.port != 0  # asking for a port that is none raises
    if parts.scheme not in {"http", "https"} or not reachable or parts.query or parts.fragment:
        raise ValueError(value)
    return value.rstrip("/")


def github_kind(github_url: str) -> GitHubKind:
    """Which GitHub this is, by the address of its pages: github.com, GHE.com, or one's own."""
    host = urlsplit(github_url).hostname or ""
    if host == "github.com":
        return "com"
    return "ghe" if host.endswith(".ghe.com") else "server"


def github_api(github_url: str) -> str:
    """Where the API of a GitHub is, by the address of its pages.

    Source: https://docs.github.com/enterprise-cloud@latest/admin/data-residency/network-details-for-ghecom
    and https://docs.github.com/enterprise-server@latest/rest/using-the-rest-api/getting-started-with-the-rest-api
    """
    scheme, _, rest = github_url.partition("://")
    if github_kind(github_url) == "server":
        return f"{github_url}/api/v3"
    return f"{scheme}://api.{rest}"


def between(low: int, high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch(r"\s*[0-9]+\s*", value):  # int() takes 8_0 too
            raise ValueError(value)
        number = int(value)
        if not low <= number <= high:
            raise ValueError(value)
        return number

    return read


def seconds(value: str) -> timedelta:
    seconds = float(value)
    if not 0 <= seconds <= 3600:
        raise ValueError(value)
    return timedelta(seconds=seconds)


def lease(value: str) -> timedelta:
    lease = seconds(value)
    if lease < timedelta(seconds=1):
        raise ValueError(value)
    return lease


def one_of(*words: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in words:
            raise ValueError(value)
        return value

    return read


def networks(value: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(word.strip()) for word in value.split(","))


def truth(value: str) -> bool:
    return one_of("true", "false")(value) == "true"


def database_url(value: str) -> str:
    if value.startswith(("sqlite:///", "sqlite+aiosqlite:///")):
        return value
    return postgresql_url(value)


def postgresql_url(value: str) -> str:
    if not value.startswith(("postgres://", "postgresql://", "postgresql+asyncpg")):
        raise ValueError(value)
    return value
