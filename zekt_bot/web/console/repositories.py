"""Repositories: what one may manage, and letting one take part or not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from zekt_bot.domain.catalog import standing
from zekt_bot.errors import (
    AccessDenied,
    InstallationGone,
    InstallationSuspended,
    InvalidInput,
    NotFound,
)
from zekt_bot.operations import my_consent, my_repositories
from zekt_bot.operations.my_repositories import Wanted
from zekt_bot.web.console import forms
from zekt_bot.web.console.at_github import install_link, installation_page
from zekt_bot.web.console.frame import VIEWER, page
from zekt_bot.web.console.problems import Problem
from zekt_bot.web.deps import BROKER
from zekt_bot.web.tries import Tries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zekt_bot.domain.catalog import Repository
    from zekt_bot.domain.sessions import View
    from zekt_bot.operations.my_repositories import Owned
    from zekt_bot.operations.repositories import Part

    _Group = tuple[Owned, list[Repository]]

# The chip of each standing: colour, icon, word.
CHIPS = {
    "disabled": ("grey", "off", "Disabled"),
    "provider": ("green", "out", "Provider"),
    "consumer": ("green", "in", "Consumer"),
    "both": ("green", "both", "Provider and consumer"),
    "app_suspended": ("amber", "pause", "Suspended"),
    "archived": ("amber", "moon", "Archived"),
    "permission_missing": ("amber", "key", "Permission to accept"),
    "account_blocked": ("amber", "moon", "Resting"),
    "not_installed": ("hollow", "plug", "Not installed"),
    "purging": ("grey", "clock", "Being deleted"),
}
QUESTIONS = web.AppKey("QUESTIONS", Tries)
MOST_QUESTIONS = 30  # a minute of each person
_FOR_AN_OWNER = {"waits", "suspended"}  # who alone can mend it
_DIGITS = 19  # of a number that fits into 64 bits
_PARTS: dict[str, tuple[Part, ...]] = {
    "neither": (),
    "provider": ("provider",),
    "consumer": ("consumer",),
    "both": ("provider", "consumer"),
}


def count_question(request: web.Request) -> None:
    """Let each person ask only so often for what GitHub or the database has to be asked at length.

    Raises:
        Problem: 429.
    """
    questions, person = request.app[QUESTIONS], request[VIEWER].person
    if not questions.allows(str(person.id)):
        seconds = questions.seconds_left()
        said = f"Wait {seconds} seconds."
        raise Problem(429, "Too fast", said, headers={"Retry-After": str(seconds)})


async def show(request: web.Request) -> web.Response:
    """`GET /repositories`."""
    broker, session = request.app[BROKER], request[VIEWER].session
    back = await _back(request)
    asked = {name: request.query.get(name, "").strip()[:140] for name in ("name", "owner", "state")}
    found = await my_repositories.listing(broker, session)
    wanted = Wanted(asked["name"].rpartition("/")[2], asked["owner"], asked["state"])
    shown = [
        (owned, [each for each in owned.repositories if wanted.fits(each)]) for owned in found.owned
    ]
    groups = _arranged([(owned, rows) for owned, rows in shown if rows], session.shown_first)
    alone, problem = (None, "") if groups else await _by_name(request, asked["name"])
    return page(
        request,
        "repositories/list.html",
        asked=asked,
        found=found,
        groups=groups,
        alone=alone,
        uses=await my_repositories.uses(broker, [*_all(groups), *([alone] if alone else [])]),
        problem=problem,
        chips=CHIPS,
        standing=standing,
        back=back,
        gone_at=partial(my_consent.gone_at, broker),
        install=await install_link(request),
        install_sign_in=await install_link(request, "oauth"),
        installation_page=installation_page(request),
    )


def _arranged(groups: list[_Group], view: View | None) -> list[_Group]:
    """By name; before that what one chose to see first, before all what waits for an owner."""

    def comes_later(each: Repository) -> bool:
        return not (each.provider if view == "provider" else each.consumer)

    if view in {"provider", "consumer"}:
        groups = [(owned, sorted(rows, key=comes_later)) for owned, rows in groups]
        groups.sort(key=lambda group: comes_later(group[1][0]))
    return sorted(groups, key=lambda group: group[0].state not in _FOR_AN_OWNER)


def _all(groups: Iterable[tuple[Owned, list[Repository]]]) -> list[Repository]:
    return [each for _, rows in groups for each in rows]


async def _back(request: web.Request) -> dict[str, Any] | None:
    """What GitHub confirms of what it says it led from; its query is a hint that anybody may make.

    Source: https://docs.github.com/apps/creating-github-apps/registering-a-github-app/about-the-setup-url
    """
    if "setup_action" not in request.query:
        return None
    count_question(request)
    number = request.query.get("installation_id", "")
    installation_id = int(number) if number.isdecimal() and len(number) < _DIGITS else 0
    broker, session = request.app[BROKER], request[VIEWER].session
    owned = await my_repositories.returned(broker, session, installation_id)
    return {"asked": request.query["setup_action"] == "request", "owned": owned}


async def _by_name(request: web.Request, name: str) -> tuple[Repository | None, str]:
    """A repository that no list shows, by its whole name; or why it is not shown."""
    if "/" not in name:
        return None, ""
    count_question(request)
    try:
        session = request[VIEWER].session
        return await my_repositories.named(request.app[BROKER], session, name), ""
    except (InvalidInput, AccessDenied, InstallationGone, InstallationSuspended) as error:
        return None, str(error)
    except NotFound:
        return None, f"Zekt knows no {name} that you manage."


async def ask(request: web.Request) -> web.Response:
    """`GET /repositories/OWNER/NAME/enable` and `/disable`: what happens then."""
    broker, session, name = request.app[BROKER], request[VIEWER].session, _name(request)
    found = await my_repositories.at_hand(broker, session, name)
    if found is None:
        count_question(request)
        found = await my_repositories.named(broker, session, name)
    verb = request.match_info["verb"]
    return page(request, f"repositories/{verb}.html", repository=found, standing=standing(found))


def _name(request: web.Request) -> str:
    return f"{request.match_info['owner']}/{request.match_info['name']}"


async def change(request: web.Request) -> web.Response:
    """`POST` to the same: as a provider, a consumer or both."""
    count_question(request)
    broker, session = request.app[BROKER], request[VIEWER].session
    parts = _PARTS.get(forms.text(request[forms.FORM], "part"))
    if parts is None:
        raise InvalidInput("Choose what the repository is to be: provider, consumer or both.")
    await my_repositories.take_part(broker, session, _name(request), parts)
    return web.Response(status=303, headers={"Location": "/repositories"})
