"""What GitHub says of people's roles on repositories, kept for a minute."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from zekt_bot.errors import InstallationGone, InstallationSuspended

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import Any

    from zekt_bot.clock import Clock
    from zekt_bot.domain.access import Person
    from zekt_bot.domain.catalog import Account, Repository
    from zekt_bot.github.client import GitHub

Role = Literal["manages", "sees", "nothing"]
KEPT = timedelta(seconds=60)
_MOST_KEPT = 10_000
_MOST_LISTS = 1000
_MOST_ASKED = 10_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """That a person asked for the App on an account, and no owner has answered."""

    account: Account
    since: datetime


@dataclass(frozen=True, slots=True)
class Reach:
    """An account of a person's where the sign-in App is installed; only there is GitHub's answer.

    `selects`: for some repositories, and not for all.
    """

    account: Account
    installation_id: int
    selects: bool
    suspended: bool


@dataclass(frozen=True, slots=True)
class Said:
    """What GitHub says of a person: the repositories that they manage (id → full name), where they
    asked for the App, and where the sign-in App is; None: it is a classic OAuth App, on no account.
    """

    managed: Mapping[int, str]
    waiting: tuple[Waiting, ...] = ()
    reaches: tuple[Reach, ...] | None = None


class Roles:
    """Of one process. Whoever loses a role at GitHub loses it here within a minute."""

    def __init__(self, github: GitHub, clock: Clock) -> None:
        """Nothing is known yet; GitHub is asked when somebody wants to know."""
        self._github = github
        self._clock = clock
        self._known: dict[tuple[int, int], tuple[datetime, Role]] = {}
        self._lists: dict[str, tuple[datetime, Said]] = {}
        self._asked: dict[str, datetime] = {}

    def was_asked(self, session: str, within: timedelta) -> bool:
        """Whether `note_asked` was told of this session so lately."""
        at = self._asked.get(session)
        return at is not None and self._clock.now() < at + within

    def note_asked(self, session: str) -> None:
        """GitHub was asked just now whether it takes this session's token still."""
        if len(self._asked) >= _MOST_ASKED:
            self._asked.clear()
        self._asked[session] = self._clock.now()

    def listed(self, session: str) -> Said | None:
        """What `keep` was told of this session within the last minute."""
        until, said = self._lists.get(session, (self._clock.now(), None))
        return said if self._clock.now() < until else None

    def forget(self, session: str) -> None:
        """Something may have changed: ask again."""
        self._lists.pop(session, None)

    def keep(self, person: Person, session: str, said: Said) -> None:
        """Note what was said to the person's own token."""
        until = self._clock.now() + KEPT
        if len(self._lists) >= _MOST_LISTS:
            self._lists.clear()
        self._lists[session] = until, said
        for repository_id in said.managed:
            self._note(person.id, repository_id, until, "manages")

    def _note(self, person_id: int, repository_id: int, until: datetime, role: Role) -> None:
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()
        self._known[person_id, repository_id] = until, role

    async def of(self, person: Person, repositories: Iterable[Repository]) -> dict[int, Role]:
        """The person's role on each repository (id → role).

        Only accounts that installed the App are asked about; elsewhere nobody manages anything.

        Raises:
            GitHubError: GitHub does not answer as it should.
        """
        once = list({repository.id: repository for repository in repositories}.values())
        found = await asyncio.gather(*(self._one(person, each) for each in once))
        return {each.id: role for each, role in zip(once, found, strict=True)}

    async def _one(self, person: Person, repository: Repository) -> Role:
        if not repository.consented:
            return "nothing" if repository.private else "sees"
        key, now = (person.id, repository.id), self._clock.now()
        until, role = self._known.get(key, (now, None))
        if role is not None and now < until:
            return role
        role = await _ask(self._github, person, repository)
        self._note(person.id, repository.id, now + KEPT, role)
        return role


def may_manage(told: Mapping[str, Any]) -> bool:
    """Whether the `permissions` that GitHub tells are an administrator's or a maintainer's."""
    permissions = told.get("permissions")
    return isinstance(permissions, dict) and (
        permissions.get("admin") is True or permissions.get("maintain") is True
    )


async def _ask(github: GitHub, person: Person, repository: Repository) -> Role:
    told: dict[str, Any] | None = None
    if repository.installation_id is not None:
        try:
            told = await github.permission(repository.installation_id, repository.id, person.login)
        except (InstallationGone, InstallationSuspended):
            told = None
    user = (told or {}).get("user")
    if told is None or not isinstance(user, dict) or user.get("id") != person.id:
        return "nothing" if repository.private else "sees"
    # The word `permission` calls a maintainer a writer.
    if may_manage(user):
        return "manages"
    return "nothing" if told.get("permission") == "none" else "sees"
