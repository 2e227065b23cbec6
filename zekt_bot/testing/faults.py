"""Faults on request: a status, a delay, a dropped connection, silence; N times each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, TypedDict

import orjson
from aiohttp import web

When = Literal["before", "after"]


class FaultOptions(TypedDict, total=False):
    """How a request fails."""

    status: int
    """Answer this instead; without it (and without `reset` and `hang`) it is only late."""
    times: int
    """For so many requests; 1 unless told."""
    headers: dict[str, str]
    body: Any
    """Bytes or text as they are, anything else as JSON; GitHub's own error body unless told."""
    when: When
    """`after`: GitHub acts, then fails to say so."""
    delay: float
    """Real seconds before GitHub acts; with `when="after"`, before it says what it did."""
    until: asyncio.Event
    """What GitHub waits for at the same place, so that no test depends on a machine's speed."""
    reset: bool
    """The connection is dropped."""
    hang: bool
    """No answer ever comes."""


@dataclass(eq=False)
class Fault:
    """One arranged fault; `left` says for how many more requests."""

    method: str
    pattern: str
    status: int | None = None
    times: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    when: When = "before"
    delay: float = 0.0
    until: asyncio.Event | None = None
    reset: bool = False
    hang: bool = False

    def __post_init__(self) -> None:
        """All of its times are to come."""
        self.left = self.times

    def matches(self, method: str, path: str) -> bool:
        """Whether this request is meant: `*` matches also slashes, `*` any method."""
        if self.left <= 0 or self.method.upper() not in {"*", method}:
            return False
        return fnmatchcase(path.lower(), self.pattern.lower())

    @property
    def replaces(self) -> bool:
        """Whether GitHub's own answer is not given."""
        return self.status is not None or self.reset or self.hang

    async def linger(self) -> None:
        """Return when GitHub goes on."""
        if self.until is not None:
            await self.until.wait()
        await asyncio.sleep(self.delay)

    def response(self) -> web.Response:
        """The answer instead of GitHub's."""
        status = self.status or 500
        body = self.body
        if body is None:
            body = {
                "message": _MESSAGES.get(status, "Server Error"),
                "documentation_url": "https://docs.github.com/rest",
                "status": str(status),
            }
        raw = body if isinstance(body, bytes) else None
        if isinstance(body, str):
            raw = body.encode()
        response = web.Response(status=status, body=orjson.dumps(body) if raw is None else raw)
        response.headers["Content-Type"] = "application/json; charset=utf-8"
        response.headers.update(self.headers)
        return response


_MESSAGES = {
    401: "Bad credentials",
    403: "Resource not accessible by integration",
    404: "Not Found",
    422: "Validation Failed",
    429: (
        "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    ),
    502: "Server Error",
    503: "Service unavailable",
}


class Faults:
    """The arranged faults, the oldest first."""

    def __init__(self) -> None:
        """None yet."""
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        """Arrange it."""
        self._faults.append(fault)
        return fault

    def take(self, method: str, path: str) -> Fault | None:
        """The fault of this request, counted."""
        for fault in self._faults:
            if fault.matches(method, path):
                fault.left -= 1
                return fault
        return None

    def clear(self) -> None:
        """Forget them all."""
        self._faults.clear()
