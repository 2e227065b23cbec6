"""A browser without a screen: it keeps cookies, sends forms and follows nothing by itself."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.web.front import Parts, front

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ORIGIN = "http://localhost:8080"
_TOKEN = re.compile(r'name="csrf" value="([0-9a-f]*)"')
_INSTALLS = re.compile(r'href="[^"]+/apps/([^"/]+)/installations/new"[^>]*>([^<]+)<')


@dataclass(frozen=True, slots=True)
class Seen:
    """What a browser was answered."""

    status: int
    headers: Any
    text: str

    @property
    def location(self) -> str:
        """Where it is sent on to."""
        return str(self.headers["Location"])

    @property
    def onward(self) -> str:
        """Where the page leads by itself."""
        at_once, _, url = str(self.headers["Refresh"]).partition("; url=")
        assert at_once == "0"
        return url

    @property
    def token(self) -> str:
        """The token of the page's forms."""
        found = _TOKEN.search(self.text)
        assert found, self.text
        return found[1]

    @property
    def install_links(self) -> list[tuple[str, str]]:
        """What leads to installing an App: what is written on it, and which App."""
        return [(label, unescape(slug)) for slug, label in _INSTALLS.findall(self.text)]

    @property
    def words(self) -> str:
        """What a person reads, without the markup."""
        body = self.text.split("</svg>", 1)[-1]
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


class Browser:
    """One person's browser, at the server that `session` is of."""

    def __init__(self, base: str, origin: str = ORIGIN) -> None:
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self.seen: list[Seen] = []
        self._base, self._origin = base, origin

    async def get(self, path: str, **headers: str) -> Seen:
        return await self._ask("GET", path, None, headers)

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> Seen:
        return await self._ask("POST", path, fields, {"Origin": self._origin, **headers})

    async def send(self, page: Seen, path: str, **fields: str) -> Seen:
        """Send a form of `page`."""
        return await self.post(path, {"csrf": page.token, **fields})

    async def _ask(
        self, method: str, path: str, fields: dict[str, str] | None, headers: dict[str, str]
    ) -> Seen:
        sent = {"Accept": "text/html", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                method, self._base + path, data=fields, headers=sent, allow_redirects=False
            ) as answer,
        ):
            self._keep(answer.headers.getall("Set-Cookie", []))
            self.seen.append(Seen(answer.status, answer.headers, await answer.text()))
        return self.seen[-1]

    def _keep(self, lines: list[str]) -> None:
        """As a browser at an address that it trusts: whatever is set, until it is dropped."""
        self.set_cookies += lines
        for line in lines:
            name, _, value = line.split(";", 1)[0].partition("=")
            if "max-age=0" in line.lower():
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value.strip('"')


@asynccontextmanager
async def browsing(parts: Parts | None = None, **settings: Any) -> AsyncIterator[Browser]:
    """A browser at a front without anything behind it."""
    async with front(parts or Parts(), **settings) as (port, _):
        yield Browser(f"http://127.0.0.1:{port}", settings.get("public_url", ORIGIN))
