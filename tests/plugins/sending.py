"""A dispatch to send through the channel, over real HTTP to a GitHub that does as it is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.github.server import CONSUMER, INSTALLATION
from tests.strategies import at_length
from zekt_bot import DispatchRequest, Outcome
from zekt_bot.plugins import load
from zekt_bot.plugins.outside import ChannelClient, Outside

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from zekt_bot.github.client import GitHub

    Send = Callable[..., Awaitable[Outcome]]

POST = "/repos/octo/consumer/dispatches"
RENAMED = "/repos/octo/renamed/dispatches"
REPOSITORY = f"/repositories/{CONSUMER}"
APP = f"/app/installations/{INSTALLATION}"
MINT = f"{APP}/access_tokens"
PLUGINS = load()
REQUEST = DispatchRequest(
    "dlv_1", "released", b'{"event_type":"released"}', CONSUMER, "octo/consumer", INSTALLATION, 1
)
over_http = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=at_length(15)
)


@pytest.fixture
def send(github: GitHub) -> Send:
    """Send a dispatch as the worker does: through the channel that the plugins offer."""

    async def send(**changes: Any) -> Outcome:
        request = replace(REQUEST, **changes)
        api = github.installation_api(request.installation_id, request.repository_id)
        client = ChannelClient(api, Outside())
        return await PLUGINS.channels["repository_dispatch"].send(request, client)

    return send
