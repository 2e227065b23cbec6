"""The HTTP front on a real socket, in front of a store that only remembers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp

from zekt_bot.clock import Shutdown, SystemClock
from zekt_bot.config import AppCredentials, Settings
from zekt_bot.domain.figures import Figures
from zekt_bot.domain.webhooks import Receipt, VerifiedWebhook
from zekt_bot.web.deps import Limits
from zekt_bot.web.server import WebDeps, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "a token of the operators"
SECRET = b"correct horse battery staple"
SHORT = Limits(
    head=timedelta(seconds=0.3),
    body=timedelta(seconds=0.3),
    idle=timedelta(seconds=5),
    linger=timedelta(seconds=0.2),
)

PATIENT = Limits()


@dataclass
class Parts:
    """What stands behind the front: credentials, a store, a database that is up or not."""

    held: AppCredentials = field(
        default_factory=lambda: AppCredentials(webhook_secrets=(b"older", SECRET))
    )
    newer: AppCredentials | None = None
    newest: AppCredentials | None = None
    receipt: Receipt = field(default_factory=Receipt)
    error: Exception | None = None
    stored: list[VerifiedWebhook] = field(default_factory=list)

    async def get(self, app: str, *, anew: bool = False) -> AppCredentials:
        """The credentials provider; `newer` ones are there at the second look, `newest` anew."""
        if anew:
            return self.newest or self.held
        held, self.held = self.held, self.newer or self.held
        return held

    async def store(self, webhook: VerifiedWebhook) -> Receipt:
        """Remember, or fail."""
        await self.ready()
        self.stored.append(webhook)
        return self.receipt

    async def status(self) -> dict[str, Any]:
        """Nothing waits, or fail if told to."""
        await self.ready()
        return {"processes": [], "waiting": [], "no_gap_since": None, "looked_until": None}

    async def ready(self) -> None:
        """Fail if told to."""
        if self.error:
            raise self.error


@asynccontextmanager
async def front(
    parts: Parts, limits: Limits = PATIENT, figures: Figures | None = None, **settings: Any
) -> AsyncIterator[tuple[int, aiohttp.ClientSession]]:
    made = replace(Settings(host="127.0.0.1", port=0), **settings)
    deps = WebDeps(
        made,
        parts,
        parts.store,
        parts.ready,
        SystemClock(),
        limits,
        figures or Figures(),
        parts.status,
    )
    async with (
        running(deps, Shutdown(made.shutdown_timeout)) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield port, session


def signed(body: bytes, secret: bytes = SECRET, /, **changed: str) -> dict[str, str]:
    return {
        "X-Hub-Signature-256": "sha256=" + hmac.digest(secret, body, hashlib.sha256).hex(),
        "X-GitHub-Event": "workflow_run",
        "X-GitHub-Delivery": "72d3162e-CC78",
        "Content-Type": "application/json",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }


async def post(
    session: aiohttp.ClientSession, body: bytes = b"{}", **changed: str
) -> tuple[int, dict[str, Any]]:
    sent = signed(body, **changed)
    async with session.post("/webhooks/github", data=body, headers=sent) as answer:
        assert answer.content_type == "application/json"
        assert "Set-Cookie" not in answer.headers
        if answer.status == 503:
            assert int(answer.headers["Retry-After"]) > 0
        return answer.status, await answer.json()


async def talk(port: int, *pieces: bytes, patience: float = 60) -> bytes:
    """Send pieces on a raw connection; gives all that came until it was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)  # so that they arrive as pieces
        async with asyncio.timeout(patience):
            return await reader.read()
    finally:
        writer.close()


HEAD = b"POST /webhooks/github HTTP/1.1\r\nHost: zekt\r\n"
UNKNOWN = b"X-Hub-Signature-256: sha256=" + b"0" * 64 + b"\r\n"
