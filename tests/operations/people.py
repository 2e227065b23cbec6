"""People with roles on the stage's repositories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from zekt_bot.domain.access import Person

if TYPE_CHECKING:
    from tests.stage import Stage


@dataclass(frozen=True, slots=True)
class People:
    """`ada` administers the provider, `mia` maintains the consumer, `wes` writes to both."""

    ada: Person
    mia: Person
    wes: Person
    eve: Person


def people(stage: Stage) -> People:
    """Let them be there; `eve` is nobody to both repositories, which are private."""

    def person(login: str) -> Person:
        account = stage.github.account(login, "User")
        return Person(account.id, login)

    there = People(person("ada"), person("mia"), person("wes"), person("eve"))
    world = stage.github.core.world
    stage.github.grant(stage.provider, world.accounts[there.ada.id], "admin")
    stage.github.grant(stage.consumer, world.accounts[there.mia.id], "maintain")
    for repository in (stage.provider, stage.consumer):
        stage.github.grant(repository, world.accounts[there.wes.id], "write")
    return there
