"""Making an App of a manifest: the page, the code and what it is exchanged for.

Source: https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from zekt_bot.testing import app_shapes, payloads
from zekt_bot.testing.answers import answer, not_found
from zekt_bot.testing.model import NEEDS
from zekt_bot.testing.pages import PageRefusal, alert, back_to, fields_of, form, page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from aiohttp import web

    from zekt_bot.testing.answers import Route
    from zekt_bot.testing.core import Core
    from zekt_bot.testing.model import Account, App

LIFE = timedelta(hours=1)
LONGEST_NAME = 34
ALWAYS_SENT = frozenset(
    {"github_app_authorization", "installation", "installation_repositories", "ping"}
)
NAME_TAKEN = "Name is already in use"


@dataclass(eq=False)
class _Draft:
    """A manifest that a person was shown and has not confirmed."""

    manifest: dict[str, Any]
    owner: Account
    state: str | None


@dataclass(eq=False)
class _Code:
    app: App
    expires_at: datetime


class Manifests:
    """The pages below `/settings/apps`, and `POST /app-manifests/CODE/conversions`."""

    def __init__(self, core: Core) -> None:
        """Nobody has sent a manifest."""
        self._core = core
        self._drafts: dict[str, _Draft] = {}
        self._codes: dict[str, _Code] = {}

    def pages(self) -> Iterator[Route]:
        """What people see."""
        yield "POST", "/settings/apps/new", self.new
        yield "POST", "/organizations/{org}/settings/apps/new", self.new
        yield "POST", "/settings/apps/manifests/{draft}", self.create

    def routes(self) -> Iterator[Route]:
        """The API's one."""
        yield "POST", "/app-manifests/{code}/conversions", self.convert

    def _owner(self, request: web.Request) -> Account:
        login = request.match_info.get("org")
        person = self._core.world.sender
        if login is None:
            return person
        found = self._core.world.account(login)
        if found is None or found.kind != "Organization" or not found.is_owned_by(person):
            raise PageRefusal(404, "This is not the web page you are looking for.")
        return found

    async def new(self, request: web.Request) -> web.Response:
        """`POST /settings/apps/new`: check the manifest and let the person confirm the name."""
        told = await fields_of(request)
        owner = self._owner(request)
        manifest = _parsed(told.get("manifest", ""))
        problem = self._problem(manifest)
        if problem:
            raise PageRefusal(422, f"Invalid GitHub App configuration. {problem}")
        draft = secrets.token_hex(8)
        state = request.query.get("state") or told.get("state")
        self._drafts[draft] = _Draft(manifest, owner, state)
        return self._page(draft, str(manifest.get("name", "")))

    def _page(self, draft: str, name: str, problem: str = "") -> web.Response:
        owner = self._drafts[draft].owner.login
        field = f'<label>GitHub App name <input name="name" value="{escape(name)}"></label>'
        body = alert(problem) + form(
            f"/settings/apps/manifests/{draft}", field, f"Create GitHub App for {owner}"
        )
        return page("Create GitHub App", body, 422 if problem else 200)

    async def create(self, request: web.Request) -> web.Response:
        """Make the App, send its `ping`, and lead back with a code."""
        draft = self._drafts.get(request.match_info["draft"])
        if draft is None:
            raise PageRefusal(404, "This is not the web page you are looking for.")
        name = (await fields_of(request)).get("name", "").strip()
        problem = self._name_problem(name)
        if problem:
            return self._page(request.match_info["draft"], name, problem)
        del self._drafts[request.match_info["draft"]]
        app = self._made(name, draft)
        code = secrets.token_hex(20)
        self._codes[code] = _Code(app, self._core.now() + LIFE)
        if app.hook_url:
            ping = payloads.ping(app, self._core.urls)
            self._core.spawn(self._core.hooks.send({app: ping}, "ping"))
        return back_to(draft.manifest["redirect_url"], code=code, state=draft.state)

    def _made(self, name: str, draft: _Draft) -> App:
        world, manifest = self._core.world, draft.manifest
        app = world.add_app(
            _slug(name),
            draft.owner,
            manifest.get("default_permissions", {}),
            manifest.get("default_events", ()),
        )
        app.name, app.public = name, bool(manifest.get("public"))
        app.hook_url = manifest.get("hook_attributes", {}).get("url")
        app.setup_url = manifest.get("setup_url")
        app.setup_on_update = bool(manifest.get("setup_on_update"))
        app.callback_urls = tuple(manifest.get("callback_urls", ()))
        app.known_from = self._core.now() + world.learns_a_key_in
        return app

    async def convert(self, request: web.Request) -> web.Response:
        """`POST /app-manifests/CODE/conversions`: the App's secrets, once and within an hour.

        Source: https://docs.github.com/rest/apps/apps#create-a-github-app-from-a-manifest
        """
        code = self._codes.pop(request.match_info["code"], None)
        if code is None or code.expires_at <= self._core.now():
            raise not_found("apps/apps#create-a-github-app-from-a-manifest")
        app, told = code.app, app_shapes.app(code.app, self._core.urls)
        del told["installations_count"]
        return answer(
            201,
            {
                **told,
                "client_secret": app.client_secret,
                "webhook_secret": app.webhook_secret if app.hook_url else None,
                "pem": app.private_key,
            },
        )

    def _problem(self, manifest: dict[str, Any]) -> str:
        """What is wrong with a manifest, apart from its name."""
        for field in ("url", "redirect_url"):
            if not _is_url(manifest.get(field)):
                return f"{field} must be a valid URL"
        asked = manifest.get("default_permissions", {})
        for event in manifest.get("default_events", ()):
            if event in ALWAYS_SENT:
                return f"Default events unsupported: {event}"
            if event in NEEDS and NEEDS[event] not in {*asked, "metadata"}:
                return f"Default events are not supported by permissions: {event}"
        hook = manifest.get("hook_attributes")
        if hook is None:
            return ""
        if set(hook) - {"url", "active"}:
            return "Hook attributes: unknown field"
        return self._hook_problem(hook.get("url"))

    def _hook_problem(self, url: Any) -> str:
        if not _is_url(url):
            return "Hook url must be a valid URL"
        parts = urlsplit(url)
        if self._core.world.takes_local_hooks:
            return ""
        if _is_local(parts.hostname or "") or parts.scheme != "https":
            return "Hook url is not supported because it isn't reachable over the public Internet"
        return ""

    def _name_problem(self, name: str) -> str:
        if not name or not _slug(name):
            return "Name can't be blank"
        if len(name) > LONGEST_NAME:
            return f"Name is too long (maximum is {LONGEST_NAME} characters)"
        taken = {one.slug for one in self._core.world.apps.values()}
        is_login = self._core.world.account(_slug(name)) is not None
        return NAME_TAKEN if _slug(name) in taken or is_login else ""


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise PageRefusal(422, "Invalid GitHub App configuration. The manifest is not JSON.")
    return found


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _is_url(value: Any) -> bool:
    parts = urlsplit(value) if isinstance(value, str) else None
    return parts is not None and parts.scheme in {"http", "https"} and bool(parts.hostname)


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local")):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False
