"""What an App asks about itself, with its JSON Web Token.

Source: https://docs.github.com/rest/apps/apps
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from zekt_bot.testing import app_shapes, payloads, shapes
from zekt_bot.testing.answers import (
    ApiRefusal,
    answer,
    invalid,
    json_object,
    not_found,
    number,
    numbered,
    page_of,
)
from zekt_bot.testing.tokens import MINT_DOCS, check_jwt, mint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from zekt_bot.testing.answers import Route
    from zekt_bot.testing.core import Core
    from zekt_bot.testing.model import App, Installation
    from zekt_bot.testing.webhooks import WebhookDelivery

KEPT = timedelta(days=3)
_DELIVERIES = "/app/hook/deliveries"


class AppApi:
    """The routes below `/app`."""

    def __init__(self, core: Core) -> None:
        """Answer from this host's state."""
        self._core = core

    def routes(self) -> Iterator[Route]:
        """Method, path, handler."""
        yield "GET", "/app", self.app
        yield "GET", "/app/installations", self.installations
        yield "GET", "/app/installation-requests", self.requests
        yield "GET", "/app/installations/{installation}", self.installation
        yield "POST", "/app/installations/{installation}/access_tokens", self.mint
        yield "GET", "/app/hook/config", self.hook_config
        yield "PATCH", "/app/hook/config", self.change_hook_config
        yield "GET", _DELIVERIES, self.deliveries
        yield "GET", f"{_DELIVERIES}/{{delivery}}", self.delivery
        yield "POST", f"{_DELIVERIES}/{{delivery}}/attempts", self.redeliver

    def _app(self, request: web.Request) -> App:
        return check_jwt(self._core.world, request.headers.get("Authorization"))

    def _installation(self, request: web.Request, docs: str) -> Installation:
        app = self._app(request)
        text = request.match_info["installation"]
        known = self._core.world.installations.get(numbered(text))
        if known is None or known.deleted or known.app is not app:
            raise not_found(docs)
        return known

    def _installed(self, app: App) -> list[Installation]:
        return [one for one in self._core.world.live_installations() if one.app is app]

    async def app(self, request: web.Request) -> web.Response:
        """`GET /app`."""
        app = self._app(request)
        return answer(200, app_shapes.app(app, self._core.urls, len(self._installed(app))))

    async def installations(self, request: web.Request) -> web.Response:
        """`GET /app/installations`."""
        rows = self._installed(self._app(request))
        page, headers = page_of(request, rows, f"{self._core.urls.api}/app/installations")
        return answer(200, [app_shapes.installation(one, self._core.urls) for one in page], headers)

    async def requests(self, request: web.Request) -> web.Response:
        """`GET /app/installation-requests`: those that no owner has answered."""
        app = self._app(request)
        rows = [one for one in self._core.world.requests if one.app is app]
        page, headers = page_of(request, rows, f"{self._core.urls.api}/app/installation-requests")
        told = [app_shapes.installation_request(one, self._core.urls) for one in page]
        return answer(200, told, headers)

    async def installation(self, request: web.Request) -> web.Response:
        """`GET /app/installations/ID`."""
        found = self._installation(
            request, "apps/apps#get-an-installation-for-the-authenticated-app"
        )
        return answer(200, app_shapes.installation(found, self._core.urls))

    async def mint(self, request: web.Request) -> web.Response:
        """`POST /app/installations/ID/access_tokens`."""
        found = self._installation(request, MINT_DOCS)
        token = mint(self._core.world, found, await json_object(request))
        covered = [one for one in self._core.world.covered(found) if token.reaches(one)]
        return answer(201, app_shapes.token(token, covered, self._core.urls))

    async def hook_config(self, request: web.Request) -> web.Response:
        """`GET /app/hook/config`."""
        return answer(200, _config(self._app(request)))

    async def change_hook_config(self, request: web.Request) -> web.Response:
        """`PATCH /app/hook/config`: address and secret."""
        app = self._app(request)
        told = await json_object(request)
        app.hook_url = told.get("url", app.hook_url)
        app.webhook_secret = told.get("secret", app.webhook_secret)
        return answer(200, _config(app))

    async def deliveries(self, request: web.Request) -> web.Response:
        """`GET /app/hook/deliveries`: three days back, the newest first, page by cursor."""
        rows = self._kept(self._app(request))
        status = request.query.get("status")
        if status is not None:
            if status not in {"success", "failure"}:
                raise invalid(f"For 'properties/status', \"{status}\" is not a valid status.")
            rows = [one for one in rows if one.counts_as == status]
        cursor = request.query.get("cursor", "")
        if cursor:
            before = numbered(cursor.removeprefix("v1_"))
            if not before:
                raise ApiRefusal(422, "Invalid cursor", errors=[])
            rows = [one for one in rows if one.id <= before]
        size = min(max(number(request, "per_page", 30), 1), 100)
        headers = {}
        if len(rows) > size:
            query = request.rel_url.update_query(cursor=f"v1_{rows[size].id}").query_string
            url = f"{self._core.urls.api}{_DELIVERIES}?{query}"
            headers["Link"] = f'<{url}>; rel="next"'
        return answer(200, [_summary(one) for one in rows[:size]], headers)

    def _kept(self, app: App) -> list[WebhookDelivery]:
        oldest = self._core.now() - KEPT
        rows = [
            one
            for one in self._core.hooks.log
            if one.app is app
            and one.status_code is not None
            and one.delivered_at is not None
            and one.delivered_at >= oldest
        ]
        return sorted(rows, key=lambda one: -one.id)

    def _delivery(self, request: web.Request) -> WebhookDelivery:
        wanted = request.match_info["delivery"]
        kept = self._kept(self._app(request))
        found = next((one for one in kept if str(one.id) == wanted), None)
        if found is None:
            raise not_found("apps/webhooks#get-a-delivery-for-an-app-webhook")
        return found

    async def delivery(self, request: web.Request) -> web.Response:
        """`GET /app/hook/deliveries/ID`: with headers and payload."""
        found = self._delivery(request)
        told = {
            "url": found.url,
            "request": {"headers": found.headers, "payload": found.payload},
            "response": {"headers": found.response_headers, "payload": found.response_body},
        }
        return answer(200, {**_summary(found), **told})

    async def redeliver(self, request: web.Request) -> web.Response:
        """`POST /app/hook/deliveries/ID/attempts`: sent again, with the same GUID."""
        found = self._delivery(request)
        self._core.spawn(self._core.hooks.deliver(found))
        return answer(202, {})


def _config(app: App) -> dict[str, Any]:
    return dict(payloads.ping(app)["hook"]["config"])


def _summary(one: WebhookDelivery) -> dict[str, Any]:
    return {
        "id": one.id,
        "guid": one.guid,
        "delivered_at": shapes.iso(one.delivered_at),
        "redelivery": one.redelivery,
        "duration": one.duration,
        "status": one.status,
        "status_code": one.status_code,
        "event": one.event,
        "action": one.action,
        "installation_id": one.installation_id,
        "repository_id": one.repository_id,
        "throttled_at": None,
    }
