"""`POST /webhooks/github`: verify, store, 202.

Source: https://docs.github.com/webhooks/using-webhooks/best-practices-for-using-webhooks
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from aiohttp import ClientPayloadError, web
from aiohttp.http import HttpProcessingError

from zekt_bot.domain.webhooks import Receipt
from zekt_bot.errors import StorageUnavailable, WebhookRefused
from zekt_bot.pipeline import verify
from zekt_bot.web.deps import DEPS, IGNORED, IN_FLIGHT, answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from zekt_bot.domain.webhooks import VerifiedWebhook, WebhookApp

_RETRY_AFTER = "5"
_log = structlog.get_logger()


async def github(request: web.Request) -> web.Response:
    """Webhooks of the orchestration App."""
    try:
        with request.app[IN_FLIGHT].holding() as take:
            webhook = await _verified(request, "orchestrator", take)
            if webhook.event == "ping":
                return answer(200, {"pong": True})
            receipt = await _store(request, webhook)
    except WebhookRefused as error:
        retry = {"Retry_After": _RETRY_AFTER} if error.status == 503 else {}
        return answer(error.status, {"error": str(error)}, **retry)
    except StorageUnavailable:
        error_text = "The webhook cannot be stored now; redeliver it in some seconds."
        return answer(503, {"error": error_text}, Retry_After=_RETRY_AFTER)
    told: dict[str, str | bool] = {"delivery": webhook.guid, "duplicate": receipt.duplicate}
    if receipt.ignored:
        told["ignored"] = receipt.ignored
    return answer(202, told)


async def _verified(
    request: web.Request, app: WebhookApp, take: Callable[[int], None]
) -> VerifiedWebhook:
    signature = verify.check_head(request.raw_headers, request.content_length)
    credentials = request.app[DEPS].credentials
    known = (await credentials.get(app)).webhook_secrets
    known = known or (await credentials.get(app, reread=True)).webhook_secrets
    if not known:
        raise WebhookRefused(
            503, "No webhook secret is configured yet: set ZEKT_ORCHESTRATOR_WEBHOOK_SECRET."
        )
    body = await _read(request, take)
    if not verify.is_signed(known, signature, body):
        # The secret may have been changed by another process a moment ago.
        known = (await credentials.get(app, reread=True)).webhook_secrets
        if not verify.is_signed(known, signature, body):
            raise WebhookRefused(
                401,
                "The signature does not fit the body: the App's webhook secret at GitHub and "
                "this server's differ, or something on the way changed the body.",
            )
    return verify.read(app, request.raw_headers, body)


async def _read(request: web.Request, take: Callable[[int], None]) -> bytes:
    """The body, in time and size."""
    body = bytearray()
    try:
        async with asyncio.timeout(request.app[DEPS].limits.body.total_seconds()):
            async for chunk in request.content.iter_any():
                take(len(chunk))
                body += chunk
                if len(body) > verify.MOST_BYTES:
                    raise WebhookRefused(413, verify.TOO_LARGE)
    except TimeoutError:
        raise WebhookRefused(408, "The body did not come in time; send it again.") from None
    except (HttpProcessingError, ClientPayloadError, web.RequestPayloadError):
        raise WebhookRefused(400, "The body is cut or its chunks are malformed.") from None
    return bytes(body)


async def _store(request: web.Request, webhook: VerifiedWebhook) -> Receipt:
    deps = request.app[DEPS]
    began = deps.clock.monotonic()
    if webhook.event in verify.HANDLED:
        receipt = await deps.store(webhook)
    else:
        receipt = Receipt(ignored="event_not_handled")
    if receipt.ignored:
        request.app[IGNORED][receipt.ignored] += 1
    (_log.debug if receipt.ignored else _log.info)(
        "webhook.ignored" if receipt.ignored else "webhook.stored",
        delivery=webhook.guid,
        github_event=webhook.event,
        action=webhook.action[:64] if webhook.action else None,
        duplicate=receipt.duplicate,
        ignored=receipt.ignored,
        bytes=len(webhook.raw),
        duration_ms=round((deps.clock.monotonic() - began) * 1000, 1),
    )
    return receipt
