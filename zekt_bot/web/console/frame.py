"""The frame around every page: where one is, who one is, and where one can go."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp_jinja2
from aiohttp import web
from jinja2 import PackageLoader, StrictUndefined

from zekt_bot.web.console import static, times
from zekt_bot.web.deps import DEPS

if TYPE_CHECKING:
    from zekt_bot.domain.access import Person
    from zekt_bot.domain.sessions import Session

THEMES = ("system", "light", "dark")
THEME_COOKIE = "zekt-theme"


class Viewer(NamedTuple):
    """Who looks at the page."""

    person: Person
    operator: bool
    session: Session


class Place(NamedTuple):
    """A page that the navigation leads to. `icon` names a symbol of `icons.html`."""

    label: str
    path: str
    icon: str
    operators_only: bool = False


class Group(NamedTuple):
    """Places under one heading; the first group has none."""

    heading: str
    places: tuple[Place, ...]


NAVIGATION: tuple[Group, ...] = (
    Group("", (Place("Repositories", "/repositories", "repository"),)),
    Group("Account", (Place("Consent", "/consent", "shield"), Place("Profile", "/me", "person"))),
    Group("Operate", (Place("GitHub Apps", "/apps", "key", operators_only=True),)),
)

# Set by `gate` before a page's handler runs.
BROWSER = web.RequestKey("BROWSER", str)
CSRF = web.RequestKey("CSRF", str)
VIEWER = web.RequestKey("VIEWER", Viewer)


def install(app: web.Application) -> None:
    """Make `page` work in `app`."""
    environment = aiohttp_jinja2.setup(
        app,
        loader=PackageLoader("zekt_bot.web.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = static.asset
    environment.filters["time"] = times.shown


def page(request: web.Request, template: str, *, status: int = 200, **context: Any) -> web.Response:
    """`template` filled with `context`, in the frame."""
    framed = {**_frame(request), **context}
    return aiohttp_jinja2.render_template(template, request, framed, status=status)


def _frame(request: web.Request) -> dict[str, Any]:
    deps = request.app[DEPS]
    viewer = request.get(VIEWER)
    return {
        "host": urlsplit(deps.settings.public_url).netloc,
        "github_url": deps.settings.github_url,
        "here": request.path,
        "viewer": viewer,
        "navigation": _navigation(viewer),
        "csrf": request.get(CSRF, ""),
        "theme": theme(request),
        "zone": times.zone(request),
        "now": deps.clock.now(),
        "version": version("zekt-bot"),
    }


def theme(request: web.Request) -> str:
    """What the reader chose: system, light or dark."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else "system"


def _navigation(viewer: Viewer | None) -> list[Group]:
    if viewer is None:
        return []
    mine = [
        Group(
            group.heading, tuple(p for p in group.places if viewer.operator or not p.operators_only)
        )
        for group in NAVIGATION
    ]
    return [group for group in mine if group.places]
