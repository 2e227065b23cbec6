"""Every operation of the API, and what is said at addresses that are no more or not yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from zekt_bot.web.api import deliveries, messages, shield
from zekt_bot.web.api.edge import Operation
from zekt_bot.web.api.models import (
    Completion,
    Confirmation,
    Confirmed,
    KeysWanted,
    MessageStored,
    NewMessage,
    PublicKeys,
)
from zekt_bot.web.deps import answer

if TYPE_CHECKING:
    from aiohttp import web

_OF_DELIVERIES = {
    404: "no such delivery went to this repository",
    409: "several deliveries may be meant (they are named), it was blocked, or the run came of "
    "another",
}
OPERATIONS = (
    Operation(
        name="receiveEvent",
        path="/api/events/receive",
        summary="Store a message of the run that calls",
        act=messages.receive,
        takes=NewMessage,
        gives=MessageStored,
        refusals={
            403: "another repository's or run's message; the App is not installed; the workflow is "
            "not on the allow-list",
            404: "the repository is not enabled as a provider",
            409: "the service takes one message of each event type, and the run has sent another, "
            "or Zekt was done with the run more than 24 hours ago",
            413: "the payload has more than 524,288 bytes, or the body more than 655,360",
            422: "JSON that cannot be accepted: it nests more than 64 deep, the run has sent 50 "
            "messages or 5 MB of them, a plugin refuses it, or it answers an orchestration",
        },
    ),
    Operation(
        name="listShieldKeys",
        path="/api/shield/keys",
        summary="For whom the run that calls can encrypt its messages",
        act=shield.keys,
        takes=KeysWanted,
        gives=PublicKeys,
        refusals={
            403: "another repository's keys",
            404: "the repository is not enabled as a provider",
        },
    ),
    Operation(
        name="fetchMessage",
        path="/api/messages/{message}",
        summary="Fetch a message that was too large to be sent",
        act=messages.fetch,
        gives=msgspec.Raw,
        refusals={
            403: "the policy would not let it go to this repository now",
            404: "no delivery to the run's repository carries it, or a plugin changes it",
            410: "it was deleted by age",
        },
    ),
    Operation(
        name="confirmDelivery",
        path="/api/event-delivery/confirm",
        summary="Say that the run that calls came of a delivery to its repository",
        act=deliveries.confirm,
        takes=Confirmation,
        gives=Confirmed,
        refusals=_OF_DELIVERIES,
    ),
    Operation(
        name="completeDelivery",
        path="/api/event-delivery/complete",
        summary="Say how the run that calls ended, which came of a delivery to its repository",
        act=deliveries.complete,
        takes=Completion,
        gives=Confirmed,
        refusals=_OF_DELIVERIES,
    ),
)


class Closed(NamedTuple):
    """An address of other versions, and what is said there."""

    method: str
    path: str
    status: int
    said: str

    async def tell(self, _request: web.Request) -> web.Response:
        """Say it; nobody has to say who they are."""
        return answer(self.status, {"error": self.said})


_LATER = "This server does not run orchestrations yet: leave `orchestrate` out."
CLOSED = (
    Closed(
        "POST",
        "/api/zekt/register-run",
        410,
        "Version 1 of the Zekt Action is not served: use version 3, which needs the permission "
        "`id-token: write` instead of a token.",
    ),
    Closed("POST", "/api/orchestration/submit", 501, _LATER),
    Closed("GET", "/api/orchestration/{execution}/status", 501, _LATER),
)
