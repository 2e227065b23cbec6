"""Who may read `/status`, and what it says while the database is away."""

from __future__ import annotations

import pytest

from tests.web.front import TOKEN, Parts, front
from zekt_bot.errors import StorageUnavailable

NEXT = "another token, after the former"


async def test_without_a_token_it_is_this_machine_s() -> None:
    async with front(Parts()) as (_, session), session.get("/status") as answer:
        assert (answer.status, await answer.json()) == (200, await Parts().status())


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
async def test_a_proxy_s_client_is_not_on_this_machine(header: str) -> None:
    async with (
        front(Parts()) as (_, session),
        session.get("/status", headers={header: "127.0.0.1"}) as answer,
    ):
        assert answer.status == 403
        assert "ZEKT_METRICS_TOKEN" in (await answer.json())["error"]


@pytest.mark.parametrize(
    ("shown", "status"),
    [
        (None, 401),
        (TOKEN, 401),
        (f"Basic {TOKEN}", 401),
        (f"Bearer {TOKEN} ", 200),
        (f"bearer {NEXT}", 200),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer \xff", 401),
        ("Bearer", 401),
    ],
)
async def test_with_tokens_any_of_them_opens_and_nothing_else(
    shown: str | None, status: int
) -> None:
    async with front(Parts(), metrics_tokens=(TOKEN, NEXT)) as (_, session):
        headers = {"Authorization": shown} if shown else {}
        async with session.get("/status", headers=headers) as answer:
            assert answer.status == status
            assert (answer.headers.get("WWW-Authenticate") == "Bearer") == (status == 401)


async def test_while_the_database_is_away_it_says_so() -> None:
    async with (
        front(Parts(error=StorageUnavailable())) as (_, session),
        session.get("/status") as answer,
    ):
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
