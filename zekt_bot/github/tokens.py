"""The narrow tokens of one installation: what each may do, and who shares one.

Source: https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from zekt_bot.errors import (
    AppRejected,
    GitHubAnswered,
    GitHubError,
    InstallationGone,
    RepositoryNotGranted,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zekt_bot.clock import Clock
    from zekt_bot.github.http import Answer

DISPATCH = {"contents": "write", "metadata": "read"}
READ = {"actions": "read", "metadata": "read"}
PREFLIGHT = {"contents": "read", "actions": "read", "metadata": "read"}
LARGEST_GROUP = 500
REFRESH_BEFORE = timedelta(minutes=5)
_REFUSED = 422


@dataclass(frozen=True, slots=True)
class Token:
    """An installation token; its value is in no repr."""

    value: str = field(repr=False)
    expires_at: datetime

    def is_fresh(self, now: datetime) -> bool:
        """Whether it may be used for a new request."""
        return now < self.expires_at - REFRESH_BEFORE


class Mint(Protocol):
    """Makes a token at GitHub."""

    async def __call__(
        self, permissions: Mapping[str, str], repository_ids: Sequence[int] | None
    ) -> Token:
        """A new token with these permissions for these repositories (None: all)."""
        ...


def mint_error(answer: Answer) -> GitHubError:
    """The error of a refused mint, as far as the answer alone tells it."""
    if answer.status == 401:
        said = f" (GitHub says: {answer.message})" if answer.message else ""
        return AppRejected(f"{AppRejected()}{said}")
    if answer.status == 404:
        return InstallationGone()
    return answer.error()


def token_of(answer: Answer) -> Token:
    """Read what is needed of a token answer; keys that are new or missing do not matter.

    Raises:
        GitHubAnswered: there is no token in it, or no time with a zone.
    """
    found = answer.mapping()
    value, expires = found.get("token"), found.get("expires_at")
    if not isinstance(value, str) or not value or not isinstance(expires, str):
        raise GitHubAnswered(answer.status, "the token answer holds no token")
    if not (value.isascii() and value.isprintable()):
        raise GitHubAnswered(answer.status, "the token answer holds no token for a header")
    try:
        moment = datetime.fromisoformat(expires)
    except ValueError:
        raise GitHubAnswered(answer.status, "the token answer holds no time") from None
    if moment.tzinfo is None:
        raise GitHubAnswered(answer.status, "the token answer's time has no zone")
    return Token(value, moment)


@dataclass(slots=True, eq=False)
class _Group:
    """Repositories that share a dispatch token. `granted`: those that it was minted for.

    A closed group takes no newcomers: GitHub once refused to mint it.
    """

    wanted: set[int] = field(default_factory=set)
    granted: frozenset[int] = frozenset()
    token: Token | None = None
    closed: bool = False


class InstallationTokens:
    """The tokens of one installation, each minted when it is first needed and kept."""

    def __init__(self, mint: Mint, clock: Clock) -> None:
        """`mint` is asked whenever no kept token serves."""
        self._mint = mint
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read: Token | None = None
        self._last = _Group()
        self._groups: dict[int, _Group] = {}

    async def read(self, *, rejected: str | None = None) -> str:
        """A token that may read actions and metadata of the whole installation.

        `rejected` is a token that GitHub answered 401 to: never that one again.

        Raises:
            GitHubError: as in `Mint`; a 422 stays `GitHubAnswered`.
        """
        async with self._lock:
            if self._read is None or not self._serves(self._read, rejected):
                self._read = await self._mint(READ, None)
            return self._read.value

    async def preflight(self, repository_id: int) -> str:
        """A token that may read contents, actions and metadata of one repository; not kept.

        Raises:
            RepositoryNotGranted: the installation does not grant it.
            GitHubError: as in `Mint`.
        """
        return (await self._mint_alone(PREFLIGHT, repository_id)).value

    async def dispatch(self, repository_id: int, *, rejected: str | None = None) -> str:
        """A token that may dispatch to this repository, shared by a group of at most 500.

        A newcomer joins the last group, which is minted again. If GitHub refuses the group,
        the repository is tried alone, so that one that was taken away blocks only itself.

        Raises:
            RepositoryNotGranted: GitHub refuses this repository alone.
            GitHubError: as in `Mint`.
        """
        if (token := self._kept(repository_id, rejected)) is not None:
            return token
        self._join(repository_id)  # before the lock: who waits is minted with the others
        async with self._lock:
            group = self._join(repository_id)
            if (token := self._kept(repository_id, rejected)) is None:
                token = await self._mint_group(group, repository_id)
            return token

    def doubt(self, repository_id: int) -> None:
        """GitHub refused a dispatch: ask with the next one whether it is still granted."""
        group = self._groups.get(repository_id)
        if group is not None:
            group.granted -= {repository_id}

    def _serves(self, token: Token, rejected: str | None) -> bool:
        return token.value != rejected and token.is_fresh(self._clock.now())

    def _kept(self, repository_id: int, rejected: str | None = None) -> str | None:
        group = self._groups.get(repository_id)
        if group is None or group.token is None or repository_id not in group.granted:
            return None
        return group.token.value if self._serves(group.token, rejected) else None

    def _join(self, repository_id: int) -> _Group:
        group = self._groups.get(repository_id)
        if group is not None and group.closed and not self._kept(repository_id):
            self._leave(repository_id)
            group = None
        if group is None:
            if self._last.closed or len(self._last.wanted) >= LARGEST_GROUP:
                self._last = _Group()
            group = self._groups[repository_id] = self._last
            group.wanted.add(repository_id)
        return group

    def _leave(self, repository_id: int) -> None:
        group = self._groups.pop(repository_id)
        group.wanted.discard(repository_id)
        group.granted -= {repository_id}

    async def _mint_group(self, group: _Group, repository_id: int) -> str:
        wanted = frozenset(group.wanted)
        if len(wanted) > 1:
            try:
                group.token = await self._mint(DISPATCH, sorted(wanted))
                group.granted = wanted
                return group.token.value
            except GitHubAnswered as error:
                if error.status != _REFUSED:
                    raise
        return await self._begin_group(group, repository_id, refused=len(wanted) > 1)

    async def _begin_group(self, group: _Group, repository_id: int, *, refused: bool) -> str:
        try:
            token = await self._mint_alone(DISPATCH, repository_id)
        except RepositoryNotGranted:
            self._leave(repository_id)
            raise
        if refused:  # because of another one
            group.closed = True
            self._leave(repository_id)
            group = self._last = self._groups[repository_id] = _Group({repository_id})
        group.token, group.granted = token, frozenset({repository_id})
        return token.value

    async def _mint_alone(self, permissions: Mapping[str, str], repository_id: int) -> Token:
        try:
            return await self._mint(permissions, [repository_id])
        except GitHubAnswered as error:
            if error.status != _REFUSED:
                raise
            raise RepositoryNotGranted(
                f"{RepositoryNotGranted()} ({error})", repository_id=repository_id
            ) from None
