# SPDX-License-Identifier: 0BSD
"""The channel `standard_webhooks`: one signed POST to an address outside GitHub.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from standardwebhooks import Webhook

from zekt_bot import AddressRefused, Outcome, RequestFailed, hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zekt_bot import Channel, ChannelApi, DispatchRequest

GONE = 410


class StandardWebhooks:
    """Sends to the subscription's `url`, signed with its `secret`."""

    name = "standard_webhooks"

    def check(self, settings: Mapping[str, str]) -> str:
        """The host and port that share one pace."""
        if set(settings) != {"url", "secret"}:
            raise ValueError("url and secret are wanted, and nothing else.")
        parts = urlsplit(settings["url"])
        if parts.scheme != "https" and parts.hostname != "127.0.0.1":
            raise ValueError("url must begin with https://.")
        if not parts.hostname or parts.username is not None:
            raise ValueError("url must name a host, and no user.")
        if not parts.hostname.isascii() or " " in parts.hostname:
            raise ValueError("url must name a host in ASCII, as DNS does (xn--…).")
        _check_secret(settings["secret"])
        # However the address is written: a port that is none raises too.
        return f"{parts.hostname}:{parts.port or 443}"

    async def send(self, request: DispatchRequest, client: ChannelApi) -> Outcome:
        """POST `request.body`. The delivery's id is the message's, also when sent again."""
        at, body = client.now(), request.body.decode()
        signature = Webhook(request.settings["secret"]).sign(request.delivery_id, at, body)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": request.delivery_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
        }
        try:
            answer = await client.request("POST", request.settings["url"], headers, request.body)
        except AddressRefused as error:
            return Outcome("blocked", error=f"address_refused: {error}")
        except RequestFailed as error:
            return Outcome("retry", error=str(error))
        if 200 <= answer.status < 300:
            return Outcome("dispatched", status=answer.status)
        return Outcome("dead" if answer.status == GONE else "retry", status=answer.status)


@hookimpl
def zekt_channels() -> Sequence[Channel]:
    """Offer the channel."""
    return [StandardWebhooks()]


def _check_secret(secret: str) -> None:
    prefix, _, key = secret.partition("_")
    try:
        length = len(base64.b64decode(key, validate=True))
    except binascii.Error:
        length = 0
    if prefix != "whsec" or not 24 <= length <= 64:
        raise ValueError("secret must be whsec_ and base64 of 24 to 64 bytes.")
