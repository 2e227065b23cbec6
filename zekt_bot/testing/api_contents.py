"""Reading files and folders of a repository.

Of GitHub's media types only the usual one: JSON, with a file's content in base64.

Source: https://docs.github.com/rest/repos/contents#get-repository-content
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.testing import files
from zekt_bot.testing.answers import ApiRefusal, answer, not_found, not_permitted
from zekt_bot.testing.api_repositories import Finder, of_repository
from zekt_bot.testing.tokens import readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from zekt_bot.testing.answers import Route
    from zekt_bot.testing.core import Core
    from zekt_bot.testing.model import Repository

DOCS = "repos/contents#get-repository-content"


class ContentsApi:
    """The routes below a repository's `/contents`."""

    def __init__(self, core: Core) -> None:
        """Answer from this host's state."""
        self._core = core
        self._find = Finder(core)

    def routes(self) -> Iterator[Route]:
        """Method, path, handler."""
        yield from of_repository("GET", "/contents", self.contents)
        yield from of_repository("GET", "/contents/{path:.*}", self.contents)

    async def contents(self, request: web.Request) -> web.Response:
        """`GET …/contents/PATH?ref=REF`: a list for a folder, an object for a file."""
        repository = self._repository(request)
        branch = self._branch(request, repository)
        path = request.match_info.get("path", "").strip("/")
        raw = repository.files[branch].get(path)
        if raw is not None:
            return answer(200, files.file(repository, branch, path, raw, self._core.urls))
        inside = files.folder(repository, branch, path, self._core.urls)
        if not inside:
            raise not_found(DOCS)
        return answer(200, inside)

    def _repository(self, request: web.Request) -> Repository:
        token = self._find.viewer(request)
        found = self._find.repository(request, lambda one: readable(token, one), DOCS)
        if found.private and (token is None or not token.grants("contents", "read")):
            raise not_permitted("contents=read", DOCS)
        return found

    def _branch(self, request: web.Request, repository: Repository) -> str:
        if not any(repository.files.values()):
            raise ApiRefusal(404, "This repository is empty.", DOCS)
        ref = request.query.get("ref") or repository.default_branch
        branch = ref.removeprefix("refs/heads/")
        if branch not in repository.files:
            raise ApiRefusal(404, f"No commit found for the ref {ref}", DOCS)
        return branch
