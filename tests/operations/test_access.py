"""What a person may do follows GitHub's answer, and what they may not see is not there."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.operations.people import people
from tests.stage import ME, RELEASE
from zekt_bot.domain.access import Person
from zekt_bot.errors import AccessDenied, InvalidInput, NotFound
from zekt_bot.operations import access, repositories, services, workflows

if TYPE_CHECKING:
    from tests.stage import Stage

PROVIDER = "aurora-labs/payments-api"
PERMISSION = "/repositories/*/collaborators/*"


def asked(stage: Stage) -> int:
    """How often GitHub was asked for somebody's role."""
    return sum("/collaborators/" in request.path for request in stage.github.requests)


async def test_a_login_is_a_person_known_by_their_id(stage: Stage) -> None:
    ada = people(stage).ada
    assert await access.person(stage.broker, "ADA") == ada
    for nobody in ("nobody", "aurora-labs"):
        with pytest.raises(NotFound, match=nobody):
            await access.person(stage.broker, nobody)
    with pytest.raises(InvalidInput):
        await access.person(stage.broker, "a/b")


async def test_administrators_and_maintainers_manage_and_writers_do_not(stage: Stage) -> None:
    there = people(stage)
    enabled = await repositories.enable(stage.broker, there.ada, PROVIDER)
    assert enabled.provider
    assert await workflows.allow(stage.broker, there.ada, PROVIDER, RELEASE)
    with pytest.raises(AccessDenied, match="may not disable this repository"):
        await repositories.disable(stage.broker, there.wes, PROVIDER)
    stage.github.grant(stage.provider, stage.github.core.world.accounts[there.eve.id], "maintain")
    disabled = await repositories.disable(stage.broker, there.eve, PROVIDER)
    assert not disabled.provider


async def test_a_private_repository_is_not_there_for_who_may_not_see_it(stage: Stage) -> None:
    eve = people(stage).eve
    with pytest.raises(NotFound) as hidden:
        await repositories.enable(stage.broker, eve, PROVIDER)
    with pytest.raises(NotFound) as absent:
        await repositories.enable(stage.broker, eve, "aurora-labs/nothing")
    assert str(hidden.value).replace("payments-api", "nothing") == str(absent.value)
    with pytest.raises(NotFound):
        await repositories.show(stage.broker, eve, PROVIDER)
    stage.provider.private = False
    stage.clock.advance(timedelta(seconds=60))
    await repositories.enable(stage.broker, ME, PROVIDER)
    with pytest.raises(AccessDenied):
        await repositories.show(stage.broker, eve, PROVIDER)


async def test_who_is_removed_at_github_may_nothing_a_minute_later(stage: Stage) -> None:
    there = people(stage)
    await repositories.enable(stage.broker, there.ada, PROVIDER)
    ada = stage.github.core.world.accounts[there.ada.id]
    stage.github.grant(stage.provider, ada, None)
    before = asked(stage)
    await repositories.show(stage.broker, there.ada, PROVIDER)
    assert asked(stage) == before  # within the minute the answer is kept
    stage.clock.advance(timedelta(seconds=60))
    with pytest.raises(NotFound):
        await repositories.show(stage.broker, there.ada, PROVIDER)


async def test_a_login_that_another_person_took_gives_nothing(stage: Stage) -> None:
    there = people(stage)
    await repositories.enable(stage.broker, ME, PROVIDER)
    impostor = Person(there.eve.id, "ada")
    with pytest.raises(NotFound):
        await repositories.disable(stage.broker, impostor, PROVIDER)


async def test_nobody_manages_what_did_not_install_the_app(stage: Stage) -> None:
    there = people(stage)
    await repositories.enable(stage.broker, there.ada, PROVIDER)
    await stage.github.suspend(stage.providing)
    stage.clock.advance(timedelta(minutes=70))
    with pytest.raises(NotFound):  # the minute is over, and GitHub gives no token
        await repositories.show(stage.broker, there.ada, PROVIDER)
    await stage.listen()
    before = asked(stage)
    stage.clock.advance(timedelta(minutes=2))
    with pytest.raises(NotFound):
        await repositories.show(stage.broker, there.ada, PROVIDER)
    assert asked(stage) == before


async def test_operators_are_not_asked_for(stage: Stage) -> None:
    await stage.publish()
    assert asked(stage) == 0


async def test_a_person_sees_the_list_of_what_they_name(stage: Stage) -> None:
    there = people(stage)
    await stage.publish()
    with pytest.raises(AccessDenied, match="name one"):
        await repositories.list_repositories(stage.broker, there.ada)
    mine = await services.list_services(stage.broker, there.ada, repository=PROVIDER)
    assert [each["repository"] for each in mine] == [PROVIDER]
    with pytest.raises(NotFound):
        await services.list_services(stage.broker, there.eve, repository=PROVIDER)
    listed = await services.list_services(stage.broker, there.eve)
    assert [each["service"] for each in listed] == ["aurora-labs/release"]
    assert "repository" not in listed[0]
