"""Installing an App by hand: on which account, for which repositories; or asking for it.

Source: https://docs.github.com/apps/using-github-apps/installing-a-github-app-from-a-third-party
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from zekt_bot.testing.answers import numbered
from zekt_bot.testing.pages import PageRefusal, back_to, fields_of, form, page
from zekt_bot.testing.scripts import InstallationScripts
from zekt_bot.testing.sign_in_pages import login_page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from aiohttp import web

    from zekt_bot.testing.answers import Route
    from zekt_bot.testing.core import Core
    from zekt_bot.testing.model import Account, App, Installation, Repository

_SETTINGS = "/settings/installations"
_GONE = "This is not the web page you are looking for."


class InstallPages:
    """The pages below `/apps/SLUG/installations`, and those of an installation: of whoever is
    signed in, and who is not, is asked to."""

    def __init__(self, core: Core) -> None:
        """Show this host's Apps."""
        self._core = core
        self._scripts = InstallationScripts(core)

    def pages(self) -> Iterator[Route]:
        """Method, path, handler."""
        for method, path, of_person in (
            ("GET", "/apps/{slug}/installations/new", self._choose),
            ("POST", "/apps/{slug}/installations", self._install),
            ("GET", f"{_SETTINGS}/{{installation}}", self._configure),
            ("POST", f"{_SETTINGS}/{{installation}}", self._change),
            ("GET", f"/organizations/{{login}}{_SETTINGS}/{{installation}}", self._configure),
        ):
            yield method, path, self._signed_in(of_person)

    def _signed_in(
        self, of_person: Callable[[web.Request, Account], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def shown(request: web.Request) -> web.Response:
            person = self._core.people.signed_in(request)
            return await of_person(request, person) if person else login_page(request.path_qs)

        return shown

    def _app(self, request: web.Request, person: Account) -> App:
        slug, world = request.match_info["slug"], self._core.world
        found = next((app for app in world.apps.values() if app.slug == slug), None)
        if found is None or not (found.public or found.owner.is_owned_by(person)):
            raise PageRefusal(404, _GONE)
        return found

    async def _choose(self, request: web.Request, person: Account) -> web.Response:
        """The person's accounts, and the repositories of each."""
        app, state = self._app(request, person), request.query.get("state", "")
        mine = [one for one in self._core.world.accounts.values() if one.has_member(person)]
        if not app.public:
            mine = [one for one in mine if one is app.owner]
        forms = "".join(self._form(app, one, person, state) for one in mine)
        return page(f"Install {app.name}", f"<ul>{forms}</ul>")

    def _form(self, app: App, account: Account, person: Account, state: str) -> str:
        hidden = _hidden("account", account.login) + _hidden("state", state)
        verb = "Install" if account.is_owned_by(person) else "Request"
        fields = hidden + self._choices(account, None)
        action = f"/apps/{app.slug}/installations"
        return f"<li>{form(action, fields, f'{verb} on {account.login}')}</li>"

    def _choices(self, account: Account, selected: set[int] | None) -> str:
        owned = [one for one in self._core.world.repositories.values() if one.owner is account]
        every = _radio("all", "All repositories", chosen=selected is None)
        some = _radio("selected", "Only select repositories", chosen=selected is not None)
        return every + some + "".join(_box(one, selected or set()) for one in owned)

    async def _install(self, request: web.Request, person: Account) -> web.Response:
        """Install it, or ask an owner to; then lead to the App's `setup_url`."""
        app, told = self._app(request, person), await fields_of(request)
        account = self._core.world.account(told.get("account", ""))
        if account is None or not account.has_member(person):
            raise PageRefusal(404, _GONE)
        state = told.get("state") or None
        if not account.is_owned_by(person):
            self._core.world.request(app, account, person)
            return self._back(app, account, setup_action="request", state=state)
        known = self._core.world.installation_of(app, account)
        if known is not None:
            return back_to(f"{_SETTINGS}/{known.id}")
        chosen = self._chosen(account, told)
        made = await self._scripts.install(
            app, account, "all" if chosen is None else chosen, by=person
        )
        return self._back(
            app, account, installation_id=made.id, setup_action="install", state=state
        )

    def _back(self, app: App, account: Account, **query: str | int | None) -> web.Response:
        if app.setup_url is None:
            return page("Installed", f"<p>{escape(app.name)} is on {escape(account.login)}.</p>")
        return back_to(app.setup_url, **query)

    def _chosen(self, account: Account, told: Mapping[str, str]) -> list[Repository] | None:
        if told.get("selection", "all") == "all":
            return None
        ids = set(told.get("repository", "").split(","))
        owned = (one for one in self._core.world.repositories.values() if one.owner is account)
        return [one for one in owned if str(one.id) in ids]

    def _installation(self, request: web.Request, person: Account) -> Installation:
        text = request.match_info["installation"]
        known = self._core.world.installations.get(numbered(text))
        if known is None or known.deleted or not known.account.is_owned_by(person):
            raise PageRefusal(404, _GONE)
        return known

    async def _configure(self, request: web.Request, person: Account) -> web.Response:
        """Which repositories it is for, and what ends it or lets it rest."""
        known = self._installation(request, person)
        action = f"{_SETTINGS}/{known.id}"
        fields = self._choices(known.account, known.selected)
        title = f"{known.app.name} on {known.account.login}"
        return page(title, form(action, fields, "Save") + _dangers(action, known))

    async def _change(self, request: web.Request, person: Account) -> web.Response:
        """Grant more or fewer repositories, suspend, unsuspend or uninstall it."""
        known, told = self._installation(request, person), await fields_of(request)
        if told.get("uninstall"):
            await self._scripts.uninstall(known, by=person)
            return page("Uninstalled", f"<p>{escape(known.app.name)} is gone.</p>")
        if told.get("suspended"):
            return await self._suspend(known, person, asked=told["suspended"] == "yes")
        await self._grant(known, self._chosen(known.account, told), person)
        if known.app.setup_url is None or not known.app.setup_on_update:
            return back_to(f"{_SETTINGS}/{known.id}")
        return back_to(known.app.setup_url, installation_id=known.id, setup_action="update")

    async def _suspend(self, known: Installation, by: Account, *, asked: bool) -> web.Response:
        if asked and known.suspended_at is None:
            await self._scripts.suspend(known, by=by)
        elif not asked and known.suspended_at is not None:
            await self._scripts.unsuspend(known, by=by)
        return back_to(f"{_SETTINGS}/{known.id}")

    async def _grant(
        self, known: Installation, chosen: Iterable[Repository] | None, by: Account
    ) -> None:
        before = set(self._core.world.covered(known))
        known.selected = None if chosen is None else {one.id for one in chosen}
        known.updated_at = self._core.now()
        after = set(self._core.world.covered(known))
        if added := after - before:
            await self._core.announce_repositories(known, added=_in_order(added), by=by)
        if removed := before - after:
            await self._core.announce_repositories(known, removed=_in_order(removed), by=by)


def _in_order(repositories: Iterable[Repository]) -> list[Repository]:
    return sorted(repositories, key=lambda one: one.id)


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value)}">' if value else ""


def _radio(value: str, text: str, *, chosen: bool) -> str:
    checked = " checked" if chosen else ""
    return f'<label><input type="radio" name="selection" value="{value}"{checked}> {text}</label>'


def _box(repository: Repository, selected: set[int]) -> str:
    checked = " checked" if repository.id in selected else ""
    name = escape(repository.name)
    return (
        f'<label><input type="checkbox" name="repository" value="{repository.id}"{checked}>'
        f" {name}</label>"
    )


def _dangers(action: str, known: Installation) -> str:
    """GitHub's "Danger zone"."""
    if known.suspended_at is None:
        rests = form(action, _hidden("suspended", "yes"), "Suspend")
    else:
        rests = "<p>This installation is suspended.</p>"
        rests += form(action, _hidden("suspended", "no"), "Unsuspend")
    return rests + form(action, _hidden("uninstall", "yes"), "Uninstall")
