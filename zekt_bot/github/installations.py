"""Where the App is installed and what it covers there, as GitHub lists it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from zekt_bot.errors import GitHubAnswered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from zekt_bot.github.client import GitHub
    from zekt_bot.github.http import Answer

_PAGE = 100
_MOST_PAGES = 1000


async def listed(github: GitHub) -> AsyncIterator[dict[str, Any]]:
    """The App's installations, suspended ones too.

    Raises:
        GitHubError: no page, or one that is no list; what came before it was told.

    Source: https://docs.github.com/rest/apps/apps#list-installations-for-the-authenticated-app
    """
    async for rows in _pages(github.ask_as_app, "/app/installations"):
        for row in rows:
            yield row


async def covered(github: GitHub, installation_id: int) -> list[dict[str, Any]]:
    """The repositories that an installation grants the App.

    Raises:
        InstallationGone, InstallationSuspended: it cannot be asked.
        GitHubError: as in `listed`.

    Source: https://docs.github.com/rest/apps/installations#list-repositories-accessible-to-the-app-installation
    """

    async def ask(path: str) -> Answer:
        return await github.ask_as_installation(installation_id, path)

    return [
        row
        async for rows in _pages(ask, "/installation/repositories", "repositories")
        for row in rows
    ]


async def requested(github: GitHub) -> list[dict[str, Any]]:
    """Requests to install the App that no owner has answered: `account`, `requester`.

    Raises:
        GitHubError: as in `listed`.

    Source: https://docs.github.com/rest/apps/apps#list-installation-requests-for-the-authenticated-app
    """
    return [
        row
        async for rows in _pages(github.ask_as_app, "/app/installation-requests")
        for row in rows
    ]


async def organization(github: GitHub, installation_id: int, login: str) -> dict[str, Any] | None:
    """The organization as everybody sees it, `is_verified` too; None: there is none.

    Raises:
        InstallationGone, InstallationSuspended: it cannot be asked.
        GitHubError: any status but 200 and 404, or no answer.

    Source: https://docs.github.com/rest/orgs/orgs#get-an-organization
    """
    answer = await github.ask_as_installation(installation_id, f"/orgs/{quote(login, safe='')}")
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise answer.error()
    return answer.mapping()


async def _pages(
    ask: Callable[[str], Awaitable[Answer]], path: str, name: str | None = None
) -> AsyncIterator[list[dict[str, Any]]]:
    for number in range(1, _MOST_PAGES + 1):
        answer = await ask(f"{path}?per_page={_PAGE}&page={number}")
        if answer.status != 200:
            raise answer.error()
        rows = answer.json() if name is None else answer.mapping().get(name)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise GitHubAnswered(answer.status, "the answer is not the list that was asked for")
        yield rows
        if 'rel="next"' not in answer.headers.get("link", ""):
            return
