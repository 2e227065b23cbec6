from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.github.server import CONSUMER, INSTALLATION
from zekt_bot.errors import (
    AppRejected,
    GitHubAnswered,
    GitHubUnreachable,
    InstallationGone,
    InstallationSuspended,
    RepositoryNotGranted,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.github.server import FakeGitHub, TestClock
    from zekt_bot.github.client import GitHub
    from zekt_bot.github.tokens import InstallationTokens

MINT = f"/app/installations/{INSTALLATION}/access_tokens"
DISPATCH = {"contents": "write", "metadata": "read"}


@pytest.fixture
async def tokens(github: GitHub) -> InstallationTokens:
    return (await github.app()).installation(INSTALLATION).tokens


def groups(fake: FakeGitHub) -> list[Any]:
    return [mint.get("repository_ids") for mint in fake.mints]


async def test_each_token_is_narrow(tokens: InstallationTokens, fake: FakeGitHub) -> None:
    await tokens.dispatch(CONSUMER)
    await tokens.read()
    await tokens.preflight(CONSUMER)
    await tokens.preflight(CONSUMER)
    alone = [CONSUMER]
    preflight = {"contents": "read", "actions": "read", "metadata": "read"}
    assert fake.mints == [
        {"permissions": DISPATCH, "repository_ids": alone},
        {"permissions": {"actions": "read", "metadata": "read"}},
        {"permissions": preflight, "repository_ids": alone},
        {"permissions": preflight, "repository_ids": alone},
    ]


async def test_tokens_are_kept_until_five_minutes_before_their_end(
    tokens: InstallationTokens, clock: TestClock
) -> None:
    dispatch, read = await tokens.dispatch(CONSUMER), await tokens.read()
    clock.pass_(minutes=54, seconds=59)
    assert (await tokens.dispatch(CONSUMER), await tokens.read()) == (dispatch, read)
    clock.pass_(seconds=1)
    assert await tokens.dispatch(CONSUMER) != dispatch
    assert await tokens.read() != read


async def test_who_waits_at_the_same_time_shares_one_mint(
    tokens: InstallationTokens, fake: FakeGitHub
) -> None:
    fake.granted = set(range(1, 9))
    values = await asyncio.gather(*(tokens.dispatch(n) for n in sorted(fake.granted)))
    assert len(groups(fake)) <= 2
    assert groups(fake)[-1] == sorted(fake.granted)
    await asyncio.gather(*(tokens.dispatch(n) for n in sorted(fake.granted)))
    await asyncio.gather(*(tokens.read() for _ in range(8)))
    assert len(fake.mints) <= 3
    assert set(values) <= set(fake.minted)


async def test_a_newcomer_joins_the_last_group_until_it_holds_500(
    tokens: InstallationTokens, fake: FakeGitHub
) -> None:
    fake.granted = set(range(1, 503))
    for n in range(1, 501):
        tokens._join(n)
    await tokens.dispatch(1)
    await tokens.dispatch(500)
    await tokens.dispatch(501)
    await tokens.dispatch(502)
    assert groups(fake) == [list(range(1, 501)), [501], [501, 502]]


async def test_a_newcomer_that_is_not_granted_blocks_only_itself(
    tokens: InstallationTokens, fake: FakeGitHub
) -> None:
    fake.granted = {1, 2}
    good = await tokens.dispatch(1)
    with pytest.raises(RepositoryNotGranted):
        await tokens.dispatch(666)
    assert await tokens.dispatch(1) == good
    await tokens.dispatch(2)
    assert groups(fake) == [[1], [1, 666], [666], [1, 2]]


async def test_a_member_that_was_taken_away_does_not_hold_up_the_others(
    tokens: InstallationTokens, fake: FakeGitHub, clock: TestClock
) -> None:
    fake.granted = {1, 2, 3}
    for n in (1, 2, 3):
        await tokens.dispatch(n)
    fake.granted = {1, 2, 4}
    old = await tokens.dispatch(1)
    fake.seen.clear()
    new = await tokens.dispatch(4)
    assert groups(fake) == [[1, 2, 3, 4], [4]]
    assert await tokens.dispatch(1) == old, "the group's token still lives"
    clock.pass_(hours=1)
    fake.seen.clear()
    assert await tokens.dispatch(1) != old
    assert await tokens.dispatch(4) != new
    await tokens.dispatch(2)
    with pytest.raises(RepositoryNotGranted):
        await tokens.dispatch(3)
    assert groups(fake) == [[1, 4], [1, 2, 4], [1, 2, 3, 4], [3]]


async def test_a_rejected_token_is_minted_again_but_only_that_one(
    tokens: InstallationTokens, fake: FakeGitHub
) -> None:
    first, read = await tokens.dispatch(CONSUMER), await tokens.read()
    second = await tokens.dispatch(CONSUMER, rejected=first)
    assert second != first
    assert await tokens.dispatch(CONSUMER, rejected=first) == second
    assert await tokens.read(rejected=read) != read
    assert len(fake.mints) == 4


async def test_a_doubt_asks_whether_the_repository_is_still_granted(
    tokens: InstallationTokens, fake: FakeGitHub
) -> None:
    fake.granted = {1, 2}
    await tokens.dispatch(1)
    kept = await tokens.dispatch(2)
    fake.granted = {2}
    tokens.doubt(1)
    tokens.doubt(99)
    assert await tokens.dispatch(2) == kept
    with pytest.raises(RepositoryNotGranted) as caught:
        await tokens.dispatch(1)
    assert caught.value.data == {"repository_id": 1}


SAID = {"message": "This installation has been suspended"}


@pytest.mark.parametrize(
    ("status", "body", "headers", "error"),
    [
        (404, {"message": "Not Found"}, {}, InstallationGone),
        (403, SAID, {}, InstallationSuspended),
        (403, {"message": "Forbidden"}, {}, GitHubAnswered),
        (403, SAID, {"retry_after": "60"}, GitHubAnswered),
        (403, {"message": "You have exceeded a secondary rate limit"}, {}, GitHubAnswered),
        (403, SAID, {"x_ratelimit_remaining": "0"}, GitHubAnswered),
        (429, {}, {}, GitHubAnswered),
        (500, b"<html>", {}, GitHubAnswered),
        (520, b"", {}, GitHubAnswered),
        (301, {}, {"location": "/elsewhere"}, GitHubAnswered),
        (201, b"no json", {}, GitHubAnswered),
        (201, [], {}, GitHubAnswered),
        (201, {}, {}, GitHubAnswered),
        (201, {"token": "t", "expires_at": "soon"}, {}, GitHubAnswered),
        (201, {"token": "t", "expires_at": "2026-07-01T13:00:00"}, {}, GitHubAnswered),
    ],
)
async def test_a_refused_mint_says_what_is_wrong(
    tokens: InstallationTokens, fake: FakeGitHub, status: int, body: Any, headers: Any, error: Any
) -> None:
    asks: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: tokens.dispatch(CONSUMER),
        tokens.read,
        lambda: tokens.preflight(CONSUMER),
    )
    for ask in asks:
        fake.script("POST", MINT, status, body, **headers)
        with pytest.raises(error) as caught:
            await ask()
        assert type(caught.value) is error
    assert await tokens.dispatch(CONSUMER), "and the next time is a new time"


async def test_an_unclear_403_is_a_suspension_if_the_installation_says_so(
    tokens: InstallationTokens, fake: FakeGitHub
) -> None:
    assert fake.installation is not None
    fake.installation["suspended_at"] = "2026-07-01T00:00:00Z"
    fake.script("POST", MINT, 403, {"message": "Forbidden"})
    with pytest.raises(InstallationSuspended):
        await tokens.read()


async def test_a_group_of_many_meets_other_errors_unchanged(
    tokens: InstallationTokens, fake: FakeGitHub
) -> None:
    fake.granted = {1, 2}
    await tokens.dispatch(1)
    fake.script("POST", MINT, 502)
    with pytest.raises(GitHubAnswered):
        await tokens.dispatch(2)
    assert await tokens.dispatch(2)


async def test_a_read_token_that_is_not_granted_is_no_verdict_on_a_repository(
    tokens: InstallationTokens, fake: FakeGitHub
) -> None:
    fake.script("POST", MINT, 422, {"message": "The permissions requested are not granted"})
    with pytest.raises(GitHubAnswered, match="422"):
        await tokens.read()
    with pytest.raises(RepositoryNotGranted):
        await tokens.preflight(5)


async def test_a_401_is_tried_once_more_with_a_new_jwt(
    tokens: InstallationTokens, fake: FakeGitHub
) -> None:
    fake.script("POST", MINT, 401)
    assert await tokens.read()
    fake.keys = set()
    with pytest.raises(AppRejected, match="could not be decoded"):
        await tokens.dispatch(CONSUMER)
    fake.script("POST", MINT, 401)
    fake.script("POST", MINT, 401)
    with pytest.raises(AppRejected):
        await tokens.dispatch(CONSUMER)


async def test_no_answer_is_unreachable(
    tokens: InstallationTokens, fake: FakeGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.broken = True
    with pytest.raises(GitHubUnreachable, match="ServerDisconnectedError"):
        await tokens.read()
    fake.broken, fake.delay = False, 0.3
    monkeypatch.setattr("zekt_bot.github.http.TIMEOUT", aiohttp.ClientTimeout(total=0.05))
    with pytest.raises(GitHubUnreachable, match="TimeoutError") as caught:
        await tokens.read()
    assert caught.value.__context__ is None, "an error of aiohttp may hold the request's headers"
