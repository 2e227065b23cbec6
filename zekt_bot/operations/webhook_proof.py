"""Whether an App's webhooks come to this server, signed so that it takes them.

GitHub lists its attempts with what it was answered. Who has not the secret is answered otherwise
than who has, so that an answer of ours in that list shows both: the way and the signature.

Source: https://docs.github.com/rest/apps/webhooks
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zekt_bot.db import aside, inbox
from zekt_bot.domain.access import decide
from zekt_bot.errors import Conflict, GitHubError
from zekt_bot.github import hook_deliveries
from zekt_bot.github.manifest import hook_url
from zekt_bot.operations.setup import unreachable

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.config import App
    from zekt_bot.domain.access import Principal
    from zekt_bot.github.client import GitHub
    from zekt_bot.github.hook_deliveries import HookDelivery
    from zekt_bot.operations.broker import Broker

_WITHDRAWN = "github_app_authorization"


@dataclass(frozen=True, slots=True)
class Line:
    """What was looked for, and what was found; `at`: when that was."""

    ok: bool
    said: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WebhookProof:
    """Of one App: the newest webhook that came, and the newest that GitHub was asked to repeat.

    `ok`: this server took GitHub's newest attempt.
    """

    app: App
    ok: bool
    came: Line
    went_round: Line


async def look(broker: Broker, principal: Principal, app: App) -> WebhookProof | None:
    """What GitHub's list shows; None: without the App's key it cannot be read.

    Raises:
        AccessDenied, StorageUnavailable.
    """
    decide(principal, "server:setup")
    held = await broker.credentials.get(app)
    if not (held.app_id and held.private_key):
        return None
    try:
        return await _Looking(broker, app).look()
    except GitHubError as error:
        line = Line(False, str(error))
        return WebhookProof(app, False, line, line)


async def send_test(broker: Broker, principal: Principal, app: App) -> None:
    """Let GitHub send once more what it sent: the ping of its making, or else the newest.

    It comes within seconds. To the orchestration App it has no effect twice, known by its GUID; one
    that would let something be tried again which was set aside is not repeated. Of the sign-in
    App's events nothing is kept, and one of them acts whenever it comes: that somebody withdrew
    their authorization. It is never repeated, since they may be back.

    Raises:
        AccessDenied, GitHubError, StorageUnavailable.
        Conflict: GitHub has sent nothing lately, or nothing that is repeated.
    """
    decide(principal, "server:setup")
    github = broker.github.beside(app)
    listed = (await hook_deliveries.page(github)).deliveries
    guids = {one.guid for one in listed}
    waking = await broker.database.query(aside.taken_up_by, app, guids)
    sent = [one for one in listed if one.event != _WITHDRAWN and one.guid not in waking]
    if not sent:
        raise Conflict(
            "GitHub has sent this App nothing for three days that can be sent again; that somebody "
            "withdrew their authorization is not repeated, nor what is set aside. Install it on an "
            "account, or change which repositories it has there: of that a webhook comes."
        )
    # A proxy's answer proves nothing, only what is stored here; and a ping leaves no row.
    by_row = app == "orchestrator" and unreachable(broker.settings.public_url) is not None
    first = next((one for one in sent if (one.event == "ping") is not by_row), sent[0])
    await hook_deliveries.send_again(github, first.id)


class _Looking:
    """One look at GitHub's list."""

    def __init__(self, broker: Broker, app: App) -> None:
        self._broker = broker
        self._app: App = app
        self._github: GitHub = broker.github.beside(app)
        self._known: dict[int, bool] = {}

    async def look(self) -> WebhookProof:
        sent = (await hook_deliveries.page(self._github)).deliveries
        newest = sent[0] if sent else None
        answered = next((one for one in sent if one.answered), newest)
        repeated = next((one for one in sent if one.redelivery), None)
        return WebhookProof(
            self._app,
            newest is not None and await self._is_taken(newest),
            await self._line(answered, "GitHub has sent none for three days."),
            await self._line(repeated, "None was sent yet."),
        )

    async def _line(self, one: HookDelivery | None, nothing: str) -> Line:
        if one is None:
            return Line(False, nothing)
        if await self._is_taken(one):
            return Line(True, f"{one.event}: this server took it.", one.delivered_at)
        return Line(False, self._why(one), one.delivered_at)

    async def _is_taken(self, one: HookDelivery) -> bool:
        if one.id not in self._known:
            self._known[one.id] = one.answered and await self._is_ours(one)
        return self._known[one.id]

    async def _is_ours(self, one: HookDelivery) -> bool:
        """Whether a 2xx is this server's own; a proxy may answer before it, or for nobody."""
        body = await hook_deliveries.heard(self._github, one.id)
        if body is not None and _is_our_answer(body, one.guid):
            return True
        if body is None and unreachable(self._broker.settings.public_url) is None:
            return True  # GitHub sends straight to this address, and does not keep its answer
        guids = await self._broker.database.query(inbox.known, self._app, [one.guid])
        return one.guid in guids

    def _why(self, one: HookDelivery) -> str:
        public_url = self._broker.settings.public_url
        where = hook_url(self._app, public_url)
        if one.answered and unreachable(public_url):
            return (
                f"{one.event}: a webhook proxy answered ({one.status}); whether it brought this on "
                "cannot be seen here."
            )
        if one.answered:
            return (
                f"{one.event}: another answered in this server's place ({one.status}). Look at "
                f"what stands before {where}."
            )
        if one.status == 401:
            return f"{one.event}: this server refused its signature (401). {self._cure()}"
        if one.status == 503:
            return f"{one.event}: this server could not take it then (503). Send a test event."
        said = one.outcome or (str(one.status) if one.status else "nothing")
        return f"{one.event}: GitHub was not answered as it should be by {where} ({said})."

    def _cure(self) -> str:
        app = self._app
        if self._broker.settings.credentials_of(app).webhook_secrets:
            name = f"ZEKT_{app.upper()}_WEBHOOK_SECRET"
            return f"Set one and the same secret at GitHub and in {name}."
        return f"Give both sides a new secret: `zekt rotate-secrets webhook-secret {app}`."


def _is_our_answer(body: str, guid: str) -> bool:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(told, dict) and (told.get("pong") is True or told.get("delivery") == guid)
