"""What GitHub tells of a repository's workflows, and of their files.

Source: https://docs.github.com/rest/actions/workflows and https://docs.github.com/rest/repos/contents
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from zekt_bot.errors import GitHubAnswered
from zekt_bot.github.http import Answer

if TYPE_CHECKING:
    from zekt_bot.github.client import GitHub
    from zekt_bot.github.octo import App

FOLDER = ".github/workflows"
_PAGE = 100
_MOST_PAGES = 20
Ask = Callable[[str], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class ListedWorkflow:
    """A workflow as GitHub lists it. `state`: active, deleted, disabled_manually …"""

    id: int
    name: str
    path: str
    state: str

    @property
    def there(self) -> bool:
        """Whether it is not deleted; it may be disabled."""
        return self.state != "deleted"


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file in a folder; `size` in bytes."""

    path: str
    size: int


async def workflows(ask: Ask, repository_id: int) -> list[ListedWorkflow]:
    """All workflows that GitHub knows in a repository, deleted and disabled ones too.

    Raises:
        GitHubAnswered: any status but 200, or more than 2,000 workflows.
        GitHubError: as `ask` does.
    """
    found: list[ListedWorkflow] = []
    for page in range(1, _MOST_PAGES + 1):
        path = f"/repositories/{repository_id:d}/actions/workflows?per_page={_PAGE}&page={page}"
        answer = await ask(path)
        listed = _listed(_wanted(answer).get("workflows"), answer)
        found += [one for each in listed if (one := _workflow(each)) is not None]
        if len(listed) < _PAGE:
            return found
    raise GitHubAnswered(200, f"the repository has more than {_PAGE * _MOST_PAGES} workflows")


def by_path(listed: list[ListedWorkflow]) -> dict[str, ListedWorkflow]:
    """By path: one that is there before a deleted one that had the same."""
    gone_first = sorted(listed, key=lambda one: one.there)
    return {one.path: one for one in gone_first}


class Preflight:
    """One repository, read with a token of its own that is not kept."""

    def __init__(self, github: GitHub, installation_id: int, repository_id: int) -> None:
        """Nothing is asked of GitHub yet."""
        self._github = github
        self._installation_id = installation_id
        self._repository_id = repository_id
        self._token: str | None = None

    async def ask(self, path: str) -> Answer:
        """GET a path below the API's base.

        Raises:
            RepositoryNotGranted: the installation does not grant this repository.
            GitHubError: no token can be minted, or no answer came.
        """

        async def call(app: App) -> Answer:
            installation = app.installation(self._installation_id)
            if self._token is None:
                self._token = await installation.tokens.preflight(self._repository_id)
            return await installation.api_client.ask("GET", path, token=self._token)

        return await self._github.with_app(call)

    async def default_branch(self) -> str:
        """The name of the default branch.

        Raises:
            GitHubError: as in `ask`, or any status but 200.
        """
        answer = await self.ask(f"/repositories/{self._repository_id:d}")
        name = _wanted(answer).get("default_branch")
        if not isinstance(name, str):
            raise GitHubAnswered(answer.status, "the repository has no default branch")
        return name

    async def workflows(self) -> list[ListedWorkflow]:
        """As the function of this name."""
        return await workflows(self.ask, self._repository_id)

    async def files(self, branch: str) -> list[ListedFile]:
        """The workflow files of a branch, at most GitHub's 1,000; none where it has none.

        Raises:
            GitHubError: as in `ask`, or any status but 200 and 404.
        """
        answer = await self.ask(self._contents(FOLDER, branch))
        if answer.status == 404:
            return []
        if answer.status != 200:
            raise answer.error()
        listed = _listed(answer.json(), answer)
        return [one for each in listed if (one := _file(each)) is not None]

    async def file(self, path: str, branch: str) -> bytes | None:
        """A file's content; None where it is not there, or GitHub gives it not (over 1 MB).

        Raises:
            GitHubError: as in `files`.
        """
        answer = await self.ask(self._contents(path, branch))
        if answer.status == 404:
            return None
        told = _wanted(answer)
        if told.get("encoding") != "base64" or not isinstance(told.get("content"), str):
            return None
        try:
            return base64.b64decode(told["content"])
        except (binascii.Error, ValueError):
            raise GitHubAnswered(answer.status, "the file is not in base64") from None

    async def newest_branch(self, workflow_id: int) -> str | None:
        """The branch of a workflow's newest run, if it has one.

        Raises:
            GitHubError: as in `ask`, or any status but 200.
        """
        base = f"/repositories/{self._repository_id:d}/actions/workflows/{workflow_id:d}"
        answer = await self.ask(f"{base}/runs?per_page=1")
        listed = _listed(_wanted(answer).get("workflow_runs"), answer)
        branch = listed[0].get("head_branch") if listed and isinstance(listed[0], dict) else None
        return branch if isinstance(branch, str) else None

    def _contents(self, path: str, branch: str) -> str:
        query = urlencode({"ref": branch})
        return f"/repositories/{self._repository_id:d}/contents/{quote(path)}?{query}"


def _wanted(answer: Answer) -> dict[str, Any]:
    if answer.status != 200:
        raise answer.error()
    return answer.mapping()


def _listed(value: Any, answer: Answer) -> list[Any]:
    if not isinstance(value, list):
        raise GitHubAnswered(answer.status, "the answer is not the list that was asked for")
    return value


def _workflow(told: Any) -> ListedWorkflow | None:
    if not isinstance(told, dict):
        return None
    number, path, state = told.get("id"), told.get("path"), told.get("state")
    if not (isinstance(number, int) and isinstance(path, str) and isinstance(state, str)):
        return None
    name = told.get("name")
    return ListedWorkflow(number, name if isinstance(name, str) else path, path, state)


def _file(told: Any) -> ListedFile | None:
    """A workflow's file; what else lies in the folder is left out."""
    if not isinstance(told, dict) or told.get("type") not in {"file", "symlink"}:
        return None
    path, size = told.get("path"), told.get("size")
    if not (isinstance(path, str) and isinstance(size, int)):
        return None
    return ListedFile(path, size) if path.endswith((".yml", ".yaml")) else None
