"""The badge of verified organizations: asked of GitHub once a day, and never in anybody's way."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.stage import ME
from zekt_bot.db.tables import accounts
from zekt_bot.operations import badges, repositories

if TYPE_CHECKING:
    import pytest

    from tests.stage import Stage

_DAY = timedelta(days=1)


async def know(stage: Stage) -> None:
    for each in (stage.provider, stage.consumer):
        await repositories.enable(stage.broker, ME, each.full_name)


async def verified(stage: Stage) -> dict[str, bool]:
    return {row["login"]: row["verified"] for row in await stage.rows(accounts)}


async def test_it_follows_what_github_says_a_day_later_at_most(stage: Stage) -> None:
    await know(stage)
    stage.provider.owner.verified = True
    assert await badges.look(stage.broker) == 2
    assert await verified(stage) == {"aurora-labs": True, "kestrel-bank": False}
    stage.provider.owner.verified = False
    assert await badges.look(stage.broker) == 0
    stage.clock.advance(_DAY + timedelta(seconds=1))
    assert await badges.look(stage.broker) == 2
    assert not any((await verified(stage)).values())


async def test_a_refusal_leaves_it_and_hides_nobody_else(stage: Stage) -> None:
    await know(stage)
    stage.provider.owner.verified = stage.consumer.owner.verified = True
    stage.github.fail("GET", "/orgs/aurora-labs", status=500)
    assert await badges.look(stage.broker) == 2
    assert await verified(stage) == {"aurora-labs": False, "kestrel-bank": True}


async def test_it_stops_when_told_to(stage: Stage) -> None:
    await know(stage)
    assert await badges.look(stage.broker, lambda: True) == 0
    assert await badges.look(stage.broker) == 2


async def test_without_an_answer_it_tries_again(stage: Stage) -> None:
    await know(stage)
    stage.github.fail("GET", "/orgs/*", reset=True, times=9)
    assert await badges.look(stage.broker) == 0
    stage.github.clear_faults()
    assert await badges.look(stage.broker) == 2


async def test_another_account_s_answer_is_nobody_s(stage: Stage) -> None:
    await know(stage)
    with stage.github.outage():
        await stage.github.rename_account(stage.provider.owner, "borealis")
        stage.github.account("aurora-labs").verified = True
    assert await badges.look(stage.broker) == 2
    assert not any((await verified(stage)).values())


async def test_only_a_few_are_asked_of_at_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await know(stage)
    monkeypatch.setattr(badges, "_AT_ONCE", 1)
    assert [await badges.look(stage.broker) for _ in range(3)] == [1, 1, 0]
