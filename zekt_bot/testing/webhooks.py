"""Webhooks as GitHub sends them: signed, once, each attempt written down.

Source: https://docs.github.com/webhooks/webhook-events-and-payloads#delivery-headers
"""

from __future__ import annotations

import asyncio
import hmac
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import aiohttp
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from zekt_bot.testing.model import App
    from zekt_bot.testing.shapes import Json
    from zekt_bot.testing.world import World

USER_AGENT = "GitHub-Hookshot/9f3d2c1"
CONNECT_ERRORS = (aiohttp.ClientError, OSError)


def sign(secret: str | bytes, body: bytes, algorithm: str = "sha256") -> str:
    """The value of `X-Hub-Signature-256` (or, with sha1, of `X-Hub-Signature`).

    Source: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
    """
    key = secret.encode() if isinstance(secret, str) else secret
    return f"{algorithm}={hmac.new(key, body, algorithm).hexdigest()}"


def webhook_headers(app: App, event: str, body: bytes, guid: str | None = None) -> dict[str, str]:
    """All headers of a webhook of this App, signed with its secret."""
    return {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "X-GitHub-Delivery": guid or str(uuid.uuid4()),
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": str(app.hook_id),
        "X-GitHub-Hook-Installation-Target-ID": str(app.id),
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-Hub-Signature": sign(app.webhook_secret, body, "sha1"),
        "X-Hub-Signature-256": sign(app.webhook_secret, body),
    }


@dataclass(eq=False)
class WebhookDelivery:
    """One attempt to bring one event to one App. `status_code` is None while it is held back."""

    id: int
    guid: str
    app: App
    event: str
    action: str | None
    installation_id: int | None
    repository_id: int | None
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    url: str
    redelivery: bool = False
    delivered_at: datetime | None = None
    duration: float = 0.0
    status: str = ""
    status_code: int | None = None
    response_headers: dict[str, str] = field(default_factory=dict, repr=False)
    response_body: str = field(default="", repr=False)

    @property
    def payload(self) -> Json:
        """The body, parsed."""
        parsed: Json = orjson.loads(self.body)
        return parsed

    @property
    def ok(self) -> bool:
        """Whether the receiver answered 2xx."""
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def counts_as(self) -> str:
        """What the list's filter takes it for: of 3xx a success, though nobody took it in."""
        return "success" if self.status_code is not None and self.status_code < 400 else "failure"


class Hooks:
    """Sends webhooks and keeps the log that `GET /app/hook/deliveries` shows."""

    def __init__(self, world: World, timeout: float = 10.0) -> None:
        """`timeout` is how many real seconds a receiver may take; GitHub gives 10."""
        self._world = world
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._session: aiohttp.ClientSession | None = None
        self._held: list[WebhookDelivery] | None = None
        self._lost: tuple[str, ...] = ()
        self.led: dict[str, str] = {}
        self.log: list[WebhookDelivery] = []

    async def open(self) -> None:
        """Be able to send."""
        self._session = aiohttp.ClientSession(skip_auto_headers=["Accept-Encoding"])

    async def close(self) -> None:
        """Send no more."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @contextmanager
    def hold(self) -> Iterator[list[WebhookDelivery]]:
        """Within, webhooks are collected instead of sent: `deliver` them by hand, in any order."""
        before, self._held = self._held, []
        try:
            yield self._held
        finally:
            self._held = before

    @contextmanager
    def outage(self, *events: str) -> Iterator[None]:
        """Within, webhooks are neither sent nor written down, as in GitHub's own outages: of
        these events, or all."""
        before, self._lost = self._lost, events or ("*",)
        try:
            yield
        finally:
            self._lost = before

    async def send(self, apps: Mapping[App, Json], event: str) -> list[WebhookDelivery]:
        """Bring an event to Apps, each with its payload, under one GUID."""
        if event in self._lost or "*" in self._lost:
            return []
        guid = str(uuid.uuid4())
        made = [self._made(app, event, body, guid) for app, body in apps.items() if app.hook_url]
        if self._held is not None:
            self._held.extend(made)
        else:
            await asyncio.gather(*(self.deliver(one) for one in made))
        return made

    def _made(self, app: App, event: str, payload: Json, guid: str) -> WebhookDelivery:
        body = orjson.dumps(payload)
        return WebhookDelivery(
            id=self._world.next_id("delivery"),
            guid=guid,
            app=app,
            event=event,
            action=payload.get("action"),
            installation_id=payload.get("installation", {}).get("id"),
            repository_id=payload.get("repository", {}).get("id"),
            body=body,
            headers=webhook_headers(app, event, body, guid),
            url=app.hook_url or "",
        )

    async def deliver(self, delivery: WebhookDelivery) -> WebhookDelivery:
        """Send now and write it down; an error of the receiver is an entry, no exception.

        What was sent before is sent once more under another delivery id, with the same GUID.
        """
        if delivery.status_code is not None:
            delivery = self._again(delivery)
        self.log.append(delivery)
        delivery.delivered_at = self._world.clock.now()
        begun = time.perf_counter()
        await self._post(delivery)
        delivery.duration = round(time.perf_counter() - begun, 3)
        return delivery

    def _again(self, delivery: WebhookDelivery) -> WebhookDelivery:
        app = delivery.app
        return replace(
            delivery,
            id=self._world.next_id("delivery"),
            headers=webhook_headers(app, delivery.event, delivery.body, delivery.guid),
            url=app.hook_url or delivery.url,
            redelivery=True,
            status="",
            status_code=None,
            response_headers={},
            response_body="",
        )

    async def _post(self, delivery: WebhookDelivery) -> None:
        if self._session is None:
            delivery.status, delivery.status_code = "failed to connect to host", 502
            return
        try:
            async with self._session.post(
                self._where(delivery.url),
                data=delivery.body,
                headers=delivery.headers,
                allow_redirects=False,
                timeout=self._timeout,
            ) as response:
                delivery.response_body = (await response.read()).decode(errors="replace")
                delivery.response_headers = {str(k): v for k, v in response.headers.items()}
                delivery.status_code = response.status
                told = f"Invalid HTTP Response: {response.status}"
                delivery.status = "OK" if delivery.ok else told
        except TimeoutError:
            delivery.status, delivery.status_code = "timed out", 504
        except CONNECT_ERRORS:
            delivery.status, delivery.status_code = "failed to connect to host", 502

    def _where(self, url: str) -> str:
        """Where this address leads, as a name server and a proxy would have it."""
        for address, place in self.led.items():
            if url.startswith(f"{address}/"):
                return place + url.removeprefix(address)
        return url

    async def redeliver(self, guid: str, app: App | None = None) -> list[WebhookDelivery]:
        """Send the event with this GUID again, to each App that it went to, or to one."""
        latest = {one.app: one for one in self.log if one.guid == guid}
        chosen = [one for one in latest.values() if app is None or one.app is app]
        if not chosen:
            raise LookupError(f"No webhook {guid} was sent.")
        return [await self.deliver(one) for one in chosen]
