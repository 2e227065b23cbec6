# SPDX-License-Identifier: 0BSD
"""A Zekt with the channel, and a receiver that verifies what comes."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
import zekt_standard_webhooks
from aiohttp import web
from standardwebhooks import Webhook

pytest_plugins = ["zekt_bot.testing.fixtures"]


@pytest.fixture
def zekt_plugins():
    return [zekt_standard_webhooks]


@dataclass
class Receiver:
    """Somebody's server: verifies each webhook with the library, answers `status`."""

    url: str = ""
    secret: str = "whsec_" + base64.b64encode(bytes(range(24))).decode()
    status: int = 200
    ids: list[str] = field(default_factory=list)
    verified: list[object] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        return {"url": self.url, "secret": self.secret}

    async def take(self, request: web.Request) -> web.Response:
        self.ids.append(request.headers["webhook-id"])
        webhook = Webhook(self.secret)
        self.verified.append(webhook.verify(await request.read(), dict(request.headers)))
        return web.Response(status=self.status)


@pytest_asyncio.fixture
async def receiver():
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()
