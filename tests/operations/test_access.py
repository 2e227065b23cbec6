"""What a person may do follows GitHub's answer, and what they may not see is not there."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests import shielding
from tests.operations.news import mirrored
from tests.operations.people import people
from tests.pipeline.between import elsewhere, writing
from tests.stage import ME, RELEASE
from zekt_bot import hookimpl
from zekt_bot.db import mirror, tables
from zekt_bot.domain.access import Person
from zekt_bot.domain.catalog import Account
from zekt_bot.domain.lists import Page, RepositoryFilter
from zekt_bot.errors import AccessDenied, Conflict, InvalidInput, NotAdmitted, NotFound
from zekt_bot.operations import (
    access,
    accounts,
    repositories,
    services,
    shield_keys,
    workflows,
)
from zekt_bot.plugins import Plugin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy import Connection

    from tests.stage import Stage
    from zekt_bot.domain.audit import Entry

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
    with pytest.raises(AccessDenied, match="zekt repositories show"):
        await repositories.list_repositories(stage.broker, there.ada, Page(), RepositoryFilter())
    mine = await services.list_services(stage.broker, there.ada, repository=PROVIDER)
    assert [each["repository"] for each in mine] == [PROVIDER]
    with pytest.raises(NotFound):
        await services.list_services(stage.broker, there.eve, repository=PROVIDER)
    listed = await services.list_services(stage.broker, there.eve)
    assert [each["service"] for each in listed] == ["aurora-labs/release"]
    assert "repository" not in listed[0]


async def test_an_account_that_is_not_admitted_tells_nothing_of_its_repositories(
    stage: Stage,
) -> None:
    eve = people(stage).eve
    await accounts.block(stage.broker, ME, "aurora-labs")
    for name in (PROVIDER, "aurora-labs/nothing"):
        with pytest.raises(NotAdmitted, match="aurora-labs is not admitted"):
            await repositories.enable(stage.broker, ME, name)
        with pytest.raises(NotFound) as refused:  # who is admitted is not theirs to know
            await repositories.enable(stage.broker, eve, name)
        with pytest.raises(NotFound) as absent:
            await repositories.enable(stage.broker, eve, "nobody/nothing")
        assert str(refused.value).replace(name, "nobody/nothing") == str(absent.value)


KEY = shielding.public_pem(shielding.private_key())


class _Transferring:
    """A plugin in whose time another process hears that the provider has a new owner."""

    def __init__(self, stage: Stage, verb: str) -> None:
        self.stage, self.verb = stage, verb

    @hookimpl
    def zekt_audit_details(self, entry: Entry) -> None:
        if entry.verb == self.verb:
            elsewhere(self.stage, writing(self._transfer))

    def _transfer(self, connection: Connection) -> None:
        owner, now = Account(4_000_000_001, "other-org", "Organization"), self.stage.clock.now()
        row = {"id": self.stage.provider.id, "full_name": "other-org/api", "account_id": owner.id}
        mirror.put_account(connection, owner, now)
        mirror.put_repository(connection, {**row, "private": True}, now)


@pytest.mark.parametrize(
    ("verb", "act"),
    [
        ("repository:enabled", lambda s: repositories.enable(s.broker, ME, PROVIDER)),
        ("workflow:allowed", lambda s: workflows.allow(s.broker, ME, PROVIDER, RELEASE)),
        ("key:added", lambda s: shield_keys.add(s.broker, ME, PROVIDER, KEY)),
    ],
)
async def test_what_was_decided_of_one_owner_is_not_applied_to_the_next(
    stage: Stage, verb: str, act: Callable[[Stage], Awaitable[object]]
) -> None:
    await repositories.enable(stage.broker, ME, PROVIDER)
    transferring = _Transferring(stage, f"person:{verb}")
    stage.broker.plugins.registry.register(transferring, Plugin("moves", origin="built-in"))
    with pytest.raises(Conflict, match="try again"):
        await act(stage)
    moved = await mirrored(stage, stage.provider)
    assert moved is not None
    assert (moved.account_id, moved.provider) == (4_000_000_001, False)
    assert await stage.rows(tables.allowed_workflows) == []
    assert await stage.rows(tables.shield_keys) == []
