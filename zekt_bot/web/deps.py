"""What the handlers need, handed in by the composition root."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from zekt_bot.errors import WebhookRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from zekt_bot.clock import Clock
    from zekt_bot.config import Credentials, Settings
    from zekt_bot.domain.webhooks import Receipt, VerifiedWebhook


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a request's head and body may take, an idle connection may stay, and the rest
    of a refused body is read away so that the client hears the answer.
    """

    head: timedelta = timedelta(seconds=10)
    body: timedelta = timedelta(seconds=30)
    idle: timedelta = timedelta(seconds=75)
    linger: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class WebDeps:
    """The parts of the product that answer requests."""

    settings: Settings
    credentials: Credentials
    store: Callable[[VerifiedWebhook], Awaitable[Receipt]]
    ready: Callable[[], Awaitable[None]]
    clock: Clock
    limits: Limits = field(default_factory=Limits)


class InFlight:
    """Bytes of bodies that have come and are not stored yet, all together."""

    def __init__(self, most: int) -> None:
        """Hold at most `most`."""
        self._most = most
        self._held = 0

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Gives a function that counts bytes as they come; they are given back at the end.

        It raises WebhookRefused (503) when there is no room. What a request only announces counts
        for nothing, or a few idle connections would keep out everybody.
        """
        mine = 0

        def take(count: int) -> None:
            nonlocal mine
            if self._held + count > self._most:
                raise WebhookRefused(503, "The server reads too many bodies at once; try again.")
            self._held += count
            mine += count

        try:
            yield take
        finally:
            self._held -= mine


DEPS = web.AppKey("DEPS", WebDeps)
IN_FLIGHT = web.AppKey("IN_FLIGHT", InFlight)
IGNORED: web.AppKey[Counter[str]] = web.AppKey("IGNORED", Counter)


def answer(status: int, body: dict[str, Any], **headers: str) -> web.Response:
    """A JSON answer; `Retry_After="5"` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        content_type="application/json",
        headers=named,
    )
