"""The channel `repository_dispatch` when GitHub mints no token, or refuses the App."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugins.sending import APP, MINT, POST

if TYPE_CHECKING:
    from tests.github.server import FakeGitHub, FixedCredentials
    from tests.plugins.sending import Send


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (404, {"message": "Not Found"}, "blocked", "installation_gone: "),
        (403, {"message": "This was suspended"}, "blocked", "installation_suspended: "),
        (422, {"message": "not accessible"}, "blocked", "repository_not_granted: "),
        (403, {"message": "Forbidden"}, "retry", "GitHub answered 403"),
        (429, None, "retry", "GitHub answered 429"),
        (500, b"<html>", "retry", "GitHub answered 500"),
        (201, b"no json", "retry", "GitHub answered 201"),
    ],
)
async def test_a_token_that_cannot_be_minted_says_why(
    send: Send, fake: FakeGitHub, status: int, body: Any, kind: str, said: str
) -> None:
    fake.script("POST", MINT, status, body)
    outcome = await send()
    assert outcome.kind == kind
    assert (outcome.error or "").startswith(said)
    assert fake.count("POST", POST) == 0


async def test_only_the_repository_that_github_refuses_alone_is_blocked(
    send: Send, fake: FakeGitHub
) -> None:
    fake.repositories[2] = {"id": 2, "full_name": "octo/taken", "archived": False}
    await send()
    outcome = await send(repository_id=2, repository="octo/taken")
    assert (outcome.kind, (await send()).kind) == ("blocked", "dispatched")


async def test_a_refused_key_pauses_the_app(send: Send, fake: FakeGitHub) -> None:
    fake.keys = set()
    outcome = await send()
    assert (outcome.kind, outcome.status) == ("app_paused", 401)


async def test_missing_credentials_pause_the_app(send: Send, credentials: FixedCredentials) -> None:
    credentials.found = replace(credentials.found, private_key=None)
    outcome = await send()
    assert outcome.kind == "app_paused"
    assert "ZEKT_ORCHESTRATOR_PRIVATE_KEY" in (outcome.error or "")


async def test_a_key_refused_while_looking_pauses_the_app(send: Send, fake: FakeGitHub) -> None:
    await send()
    fake.keys = set()
    fake.script("POST", POST, 404)
    assert (await send()).kind == "app_paused"


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry_After": "600"}, 600),
        (403, {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "RESET"}, 3600),
    ],
)
async def test_a_limit_at_minting_closes_the_lane_too(
    send: Send, fake: FakeGitHub, status: int, headers: dict[str, str], seconds: int
) -> None:
    now = fake.clock.now()
    reset = str(int(now.timestamp()) + seconds)
    told = {name: reset if value == "RESET" else value for name, value in headers.items()}
    for _ in range(3):
        fake.script("POST", f"{APP}/access_tokens", status, {"message": "slow down"}, **told)
    outcome = await send()
    assert (outcome.kind, outcome.closes_lane) == ("retry", True)
    assert outcome.not_before == now + timedelta(seconds=seconds)
