"""A browser at the simulated GitHub: it keeps cookies and sends the forms of its pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Self

import aiohttp

if TYPE_CHECKING:
    from types import TracebackType

_FORM = re.compile(r'<form method="post" action="([^"]*)">(.*?)</form>', re.DOTALL)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@dataclass(frozen=True, slots=True)
class Shown:
    """A page, or the address outside of GitHub where the browser was sent."""

    text: str
    away: str = ""

    @property
    def form(self) -> tuple[str, dict[str, str]]:
        """Where the page's first form goes, and its hidden fields."""
        found = _FORM.search(self.text)
        assert found, self.text
        hidden = {unescape(name): unescape(value) for name, value in _HIDDEN.findall(found[2])}
        return unescape(found[1]), hidden


class Walker:
    """Use it as an async context manager."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path: str, query: dict[str, str]) -> Shown:
        return await self._ask("GET", self._base + path, query, None)

    async def open(self, url: str) -> Shown:
        """Follow a link from elsewhere."""
        return await self._ask("GET", url, {}, None)

    async def send(self, page: Shown, **fields: str) -> Shown:
        """Send the page's form."""
        action, hidden = page.form
        return await self._ask("POST", self._base + action, {}, {**hidden, **fields})

    async def _ask(
        self, method: str, url: str, query: dict[str, str], fields: dict[str, str] | None
    ) -> Shown:
        async with self._session.request(
            method, url, params=query, data=fields, allow_redirects=False
        ) as answer:
            text = await answer.text()
            target = answer.headers.get("Location")
        if target is None:
            return Shown(text)
        if target.startswith("/"):
            target = self._base + target
        if not target.startswith(self._base):
            return Shown("", target)
        return await self._ask("GET", target, {}, None)

    async def authorize(self, asked: dict[str, str], login: str, decision: str = "1") -> str:
        """Sign in if need be, decide, and give the address where that leads."""
        return await self.through(await self.get("/login/oauth/authorize", asked), login, decision)

    async def through(self, page: Shown, login: str, decision: str = "1") -> str:
        """As `authorize`, from the page where one is."""
        if not page.away and 'name="login"' in page.text:
            page = await self.send(page, login=login, password="x")
        if not page.away:
            page = await self.send(page, authorize=decision)
        return page.away
