"""Accounts, repositories and `repository_dispatch`.

A repository is asked for by name or, after a redirect, below `/repositories/ID`.

Source: https://docs.github.com/rest/repos/repos
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.testing import app_shapes, dispatches, shapes
from zekt_bot.testing.answers import (
    ApiRefusal,
    answer,
    needed_object,
    not_found,
    not_permitted,
    numbered,
    page_of,
)
from zekt_bot.testing.dispatches import Dispatch
from zekt_bot.testing.people import PersonsView
from zekt_bot.testing.tokens import bearer, check_jwt, check_token, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiohttp import web

    from zekt_bot.testing.answers import Handler, Route
    from zekt_bot.testing.core import Core
    from zekt_bot.testing.model import Account, Repository, Token

META = {
    "verifiable_password_authentication": False,
    "ssh_key_fingerprints": {"SHA256_ED25519": "+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"},
    "hooks": ["192.30.252.0/22", "185.199.108.0/22", "140.82.112.0/20", "143.55.64.0/20"],
    "web": ["192.30.252.0/22", "185.199.108.0/22", "140.82.112.0/20", "143.55.64.0/20"],
    "api": ["192.30.252.0/22", "185.199.108.0/22", "140.82.112.0/20", "143.55.64.0/20"],
    "git": ["192.30.252.0/22", "185.199.108.0/22", "140.82.112.0/20", "143.55.64.0/20"],
    "actions": ["4.148.0.0/16", "4.149.0.0/18"],
}


class Redirect(ApiRefusal):
    """A repository that has another name now: 301 for GET, 307 for what changes something.

    Source: https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
    """

    def __init__(self, method: str, url: str) -> None:
        """`url` is the same request below `/repositories/ID`."""
        docs = "guides/best-practices-for-using-the-rest-api#follow-redirects"
        status = 301 if method in {"GET", "HEAD"} else 307
        super().__init__(status, "Moved Permanently", docs, {"Location": url}, url=url)
        del self.body["status"]


class Finder:
    """Finds what a path names, for who asks."""

    def __init__(self, core: Core) -> None:
        """Look in this host's state."""
        self._core = core

    def viewer(self, request: web.Request) -> Token | PersonsView | None:
        """Whose token the request has; without any credentials, nobody's.

        Raises:
            ApiRefusal: it does not live.
        """
        header = request.headers.get("Authorization")
        if persons := self._core.people.living(bearer(header) or ""):
            return PersonsView(persons, self._core.world)
        return check_token(self._core.world, header) if header else None

    def repository(
        self, request: web.Request, visible: Callable[[Repository], bool], docs: str = ""
    ) -> Repository:
        """The repository of the path.

        Raises:
            Redirect: it has another name now.
            ApiRefusal: 404, also for what is not visible.
        """
        parts, world = request.match_info, self._core.world
        if "id" in parts:
            found = world.repositories.get(numbered(parts["id"]))
            former = None
        else:
            full_name = f"{parts['owner']}/{parts['repo']}"
            found = world.repository(full_name)
            former = world.formerly(full_name) if found is None else None
        if former is not None and visible(former):
            raise Redirect(request.method, self._moved(request, former))
        if found is None or not visible(found):
            raise not_found(docs)
        return found

    def _moved(self, request: web.Request, repository: Repository) -> str:
        parts = request.match_info
        _, _, tail = request.rel_url.raw_path.partition("/repos/")
        rest = "/".join(tail.split("/")[2:])
        query = f"?{request.query_string}" if request.query_string else ""
        base = f"{self._core.urls.api}/repositories/{repository.id}"
        return f"{base}{'/' + rest if rest and parts else ''}{query}"

    def account(self, request: web.Request, kind: str | None = None) -> Account:
        """The account of the path.

        Raises:
            ApiRefusal: 404.
        """
        parts, world = request.match_info, self._core.world
        if "id" in parts:
            found = world.accounts.get(numbered(parts["id"]))
        else:
            found = world.account(parts["login"])
        if found is None or (kind is not None and found.kind != kind):
            raise not_found("users/users#get-a-user")
        return found


def of_repository(method: str, tail: str, handler: Handler) -> Iterator[Route]:
    """The two paths of a repository's route."""
    yield method, f"/repos/{{owner}}/{{repo}}{tail}", handler
    yield method, f"/repositories/{{id}}{tail}", handler


class RepositoryApi:
    """The routes of accounts and repositories."""

    def __init__(self, core: Core) -> None:
        """Answer from this host's state."""
        self._core = core
        self._find = Finder(core)

    def routes(self) -> Iterator[Route]:
        """Method, path, handler."""
        yield "GET", "/meta", self.meta
        yield "GET", "/users/{login}", self.user
        yield "GET", "/user/{id}", self.user
        yield "GET", "/users/{login}/installation", self.user_installation
        yield "GET", "/orgs/{login}", self.organization
        yield "GET", "/orgs/{login}/installation", self.organization_installation
        yield "GET", "/installation/repositories", self.granted
        yield "DELETE", "/installation/token", self.revoke
        yield from of_repository("GET", "", self.repository)
        yield from of_repository("GET", "/installation", self.repository_installation)
        yield from of_repository("POST", "/dispatches", self.dispatch)
        yield from of_repository("GET", "/collaborators/{login}/permission", self.permission)

    async def meta(self, _: web.Request) -> web.Response:
        """`GET /meta`."""
        return answer(200, META)

    async def user(self, request: web.Request) -> web.Response:
        """`GET /users/LOGIN` and `GET /user/ID`: for everybody, organizations too."""
        self._find.viewer(request)
        return answer(200, shapes.public_user(self._find.account(request), self._core.urls))

    async def organization(self, request: web.Request) -> web.Response:
        """`GET /orgs/LOGIN`: for everybody, what everybody sees."""
        self._find.viewer(request)
        account = self._find.account(request, "Organization")
        return answer(200, shapes.full_organization(account, self._core.urls))

    async def user_installation(self, request: web.Request) -> web.Response:
        """`GET /users/LOGIN/installation`."""
        return self._installation(request, None)

    async def organization_installation(self, request: web.Request) -> web.Response:
        """`GET /orgs/LOGIN/installation`."""
        return self._installation(request, "Organization")

    def _installation(self, request: web.Request, kind: str | None) -> web.Response:
        world = self._core.world
        app = check_jwt(world, request.headers.get("Authorization"))
        found = world.installation_of(app, self._find.account(request, kind))
        if found is None:
            raise not_found("apps/apps#get-a-user-installation-for-the-authenticated-app")
        return answer(200, app_shapes.installation(found, self._core.urls))

    async def repository_installation(self, request: web.Request) -> web.Response:
        """`GET /repos/OWNER/REPO/installation`."""
        world = self._core.world
        app = check_jwt(world, request.headers.get("Authorization"))
        docs = "apps/apps#get-a-repository-installation-for-the-authenticated-app"

        def covered(one: Repository) -> bool:
            there = world.installation_of(app, one.owner)
            return there is not None and there.covers(one)

        repository = self._find.repository(request, covered, docs)
        found = world.installation_of(app, repository.owner)
        return answer(200, app_shapes.installation(found, self._core.urls) if found else None)

    async def granted(self, request: web.Request) -> web.Response:
        """`GET /installation/repositories`: what the token reaches."""
        token = check_token(self._core.world, request.headers.get("Authorization"))
        covered = self._core.world.covered(token.installation)
        rows = [one for one in covered if token.reaches(one)]
        urls = self._core.urls
        page, headers = page_of(request, rows, f"{urls.api}/installation/repositories")
        told = {
            "total_count": len(rows),
            "repository_selection": app_shapes.token(token, [])["repository_selection"],
            "repositories": [shapes.granted_repository(one, urls) for one in page],
        }
        return answer(200, told, headers)

    async def revoke(self, request: web.Request) -> web.Response:
        """`DELETE /installation/token`."""
        check_token(self._core.world, request.headers.get("Authorization")).revoked = True
        return answer(204)

    async def repository(self, request: web.Request) -> web.Response:
        """`GET /repos/OWNER/REPO`."""
        viewer = self._find.viewer(request)
        docs = "repos/repos#get-a-repository"
        found = self._find.repository(request, lambda one: readable(viewer, one), docs)
        told = shapes.full_repository(found, self._core.urls)
        if isinstance(viewer, PersonsView):
            told["permissions"] = viewer.permissions(found)
        elif viewer is not None:
            told["permissions"] = shapes.NO_ROLE
        return answer(200, told)

    async def permission(self, request: web.Request) -> web.Response:
        """`GET /repos/OWNER/REPO/collaborators/LOGIN/permission`; who owns it administers it.

        Source: https://docs.github.com/rest/collaborators/collaborators#get-repository-permissions-for-a-user
        """
        docs = "collaborators/collaborators#get-repository-permissions-for-a-user"
        token = check_token(self._core.world, request.headers.get("Authorization"))
        found = self._find.repository(request, lambda one: readable(token, one), docs)
        if not token.reaches(found):
            raise not_permitted("metadata=read", docs)
        person = self._core.world.account(request.match_info["login"])
        if person is None:
            raise not_found(docs)
        role = "admin" if person is found.owner else found.roles.get(person.id)
        return answer(200, shapes.permission(person, found, role, self._core.urls))

    async def dispatch(self, request: web.Request) -> web.Response:
        """`POST /repos/OWNER/REPO/dispatches`."""
        token = check_token(self._core.world, request.headers.get("Authorization"))
        found = self._find.repository(request, lambda one: readable(token, one), dispatches.DOCS)
        if not token.reaches(found) or not token.grants("contents", "write"):
            raise not_permitted("contents=write", dispatches.DOCS)
        if found.archived:
            raise ApiRefusal(403, "Repository was archived so is read-only.", dispatches.DOCS)
        event_type, payload = dispatches.checked(await needed_object(request, dispatches.DOCS))
        raw = await request.read()
        now, urls = self._core.now(), self._core.urls
        await self._core.accept(Dispatch(now, found, event_type, payload, raw, token, urls))
        return answer(204)
