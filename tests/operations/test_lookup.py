"""Who has a login: asked without a token, and with one where GitHub wants to know who asks."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.stage import ME, open_stage
from zekt_bot.errors import GitHubAnswered, GitHubUnreachable
from zekt_bot.operations import lookup, repositories

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.stage import Stage

LOGIN = "kestrel-bank"


@pytest.fixture
async def stage(migrated_sqlite: str) -> AsyncIterator[Stage]:
    """Zekt knows both installations, the provider's as the last."""
    async with open_stage(migrated_sqlite) as opened:
        for one in (opened.consumer, opened.provider):
            await repositories.enable(opened.broker, ME, one.full_name)
            opened.clock.advance(timedelta(seconds=1))
        opened.github.requests.clear()
        yield opened


def asked(stage: Stage) -> list[bool]:
    """Of each question for an account, whether a token was shown."""
    return [
        "authorization" in one.headers for one in stage.github.requests if "/users/" in one.path
    ]


async def found(stage: Stage, login: str = LOGIN) -> str | None:
    told = await lookup.account(stage.broker, login)
    return told["login"] if told else None


async def test_without_a_token_where_that_will_do(stage: Stage) -> None:
    assert await found(stage) == LOGIN
    assert asked(stage) == [False]


async def test_in_private_mode_with_the_token_of_an_installation(stage: Stage) -> None:
    stage.github.be_private()
    assert await found(stage) == LOGIN
    assert await found(stage, "nobody") is None
    assert asked(stage) == [False, True, False, True]


async def test_with_another_one_if_the_first_is_gone(stage: Stage) -> None:
    stage.github.be_private()
    await stage.github.uninstall(stage.providing)  # of which nobody has told Zekt yet
    assert await found(stage) == LOGIN


async def test_after_too_many_questions_without_one(stage: Stage) -> None:
    stage.github.limit_anonymous(0)
    assert await found(stage) == LOGIN


async def test_where_there_is_no_token_that_is_said(stage: Stage) -> None:
    stage.github.be_private()
    for one in (stage.providing, stage.consuming):
        await stage.github.suspend(one)
    with pytest.raises(GitHubAnswered, match="install the orchestration App"):
        await found(stage)


async def test_github_s_outage_is_no_missing_account(stage: Stage) -> None:
    stage.github.fail("GET", "/users/*", status=502)
    with pytest.raises(GitHubAnswered, match="502"):
        await found(stage)
    stage.github.fail("GET", "/users/*", reset=True, times=9)
    with pytest.raises(GitHubUnreachable):
        await found(stage)
