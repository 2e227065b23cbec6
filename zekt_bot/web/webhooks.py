"""`POST /webhooks/github` and `/webhooks/github/oauth`: verify, store, 202.

Source: https://docs.github.com/webhooks/using-webhooks/best-practices-for-using-webhooks
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from zekt_bot.domain.webhooks import Receipt
from zekt_bot.errors import RequestRefused, StorageUnavailable, WebhookRefused
from zekt_bot.pipeline import verify
from zekt_bot.web import bodies, errors
from zekt_bot.web.deps import DEPS, IGNORED, IN_FLIGHT, answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from zekt_bot.domain.webhooks import VerifiedWebhook, WebhookApp
    from zekt_bot.web.deps import WebDeps

    _Keep = Callable[[web.Request, WebDeps, VerifiedWebhook], Awaitable[Receipt]]

_RETRY_AFTER = "5"
_log = structlog.get_logger()


async def expected(request: web.Request) -> web.StreamResponse | None:
    """Ask for an announced body only if its head is right."""
    try:
        verify.check_head(request.headers, request.content_length)
    except WebhookRefused as error:
        return _refused(error)
    return await errors.expected(request)


async def _counted(request: web.Request, *, app: WebhookApp, keep: _Keep) -> web.Response:
    """Answer, and count what was answered."""
    deps = request.app[DEPS]
    began = deps.clock.monotonic()
    answered = await _answer(request, deps, app, keep)
    deps.figures.webhooks[str(answered.status)] += 1
    deps.figures.webhook_seconds.observe(deps.clock.monotonic() - began)
    return answered


async def _answer(
    request: web.Request, deps: WebDeps, app: WebhookApp, keep: _Keep
) -> web.Response:
    try:
        verify.check_head(request.headers, request.content_length)  # before anything is asked
        with request.app[IN_FLIGHT].holding() as take:
            if not request.content.is_eof():  # no body is waited for that could not be verified
                async with bodies.within(deps.limits.look):
                    await _secrets(deps, app)
            body = await bodies.read(request, take, verify.MOST_BYTES, verify.TOO_LARGE)
            async with bodies.within(deps.limits.store):
                webhook = await _verified(request, deps, app, body)
                if webhook.event == "ping":
                    return answer(200, {"pong": True})
                receipt = await keep(request, deps, webhook)
    except RequestRefused as error:
        return _refused(error)
    except (StorageUnavailable, TimeoutError):  # too slow is as good as away
        error_text = "The webhook cannot be stored now; redeliver it in some seconds."
        return answer(503, {"error": error_text}, Retry_After=_RETRY_AFTER)
    told: dict[str, str | bool] = {"delivery": webhook.guid, "duplicate": receipt.duplicate}
    if receipt.ignored:
        told["ignored"] = receipt.ignored
    if receipt.requeued:
        told["requeued"] = True
    return answer(202, told)


def _refused(error: RequestRefused) -> web.Response:
    retry = {"Retry_After": _RETRY_AFTER} if error.status == 503 else {}
    return answer(error.status, {"error": str(error)}, **retry)


async def _verified(
    request: web.Request, deps: WebDeps, app: WebhookApp, body: bytes
) -> VerifiedWebhook:
    """Secrets may be new: since the head was read, or since they were last looked at."""
    secrets = await _secrets(deps, app)
    try:
        return verify.read(app, secrets, request.headers, body)
    except WebhookRefused as error:
        newer = await _secrets(deps, app, anew=True) if error.status == 401 else secrets
        if newer == secrets:
            raise
    return verify.read(app, newer, request.headers, body)


async def _secrets(deps: WebDeps, app: WebhookApp, *, anew: bool = False) -> tuple[bytes, ...]:
    found = (await deps.credentials.get(app, anew=anew)).webhook_secrets
    if not found:
        name = f"ZEKT_{app.upper()}_WEBHOOK_SECRET"
        raise WebhookRefused(503, f"There is no webhook secret yet: do the setup, or set {name}.")
    return found


async def _store(request: web.Request, deps: WebDeps, webhook: VerifiedWebhook) -> Receipt:
    began = deps.clock.monotonic()
    receipt = await deps.store(webhook)
    if receipt.ignored:
        request.app[IGNORED].count(receipt.ignored)
    (_log.debug if receipt.ignored else _log.info)(
        "webhook.ignored" if receipt.ignored else "webhook.stored",
        delivery=webhook.guid,
        github_event=webhook.event,
        action=webhook.action[:64] if webhook.action else None,
        duplicate=receipt.duplicate,
        requeued=receipt.requeued,
        ignored=receipt.ignored,
        bytes=len(webhook.raw),
        duration_ms=round((deps.clock.monotonic() - began) * 1000, 1),
    )
    return receipt


async def _heed(request: web.Request, deps: WebDeps, webhook: VerifiedWebhook) -> Receipt:
    """End the sessions of who withdrew their authorization; all else is read when it is shown."""
    if webhook.event == "github_app_authorization" and webhook.action == "revoked":
        who = verify.sender(webhook)
        ended = await deps.withdrawn(who) if who is not None else 0
        _log.info("webhook.authorization_revoked", delivery=webhook.guid, sessions=ended)
        return Receipt()
    request.app[IGNORED].count("oauth_app")
    return Receipt(ignored="oauth_app")


# Webhooks of the orchestration App; those of the sign-in App say who withdrew their authorization.
github = partial(_counted, app="orchestrator", keep=_store)
oauth = partial(_counted, app="oauth", keep=_heed)
