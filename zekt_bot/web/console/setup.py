"""The pages of the first setup: who may be there, its steps, its beginning and its end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from aiohttp import web

from zekt_bot.errors import AccessDenied, GitHubError, InvalidInput, NotFound
from zekt_bot.operations import app_check, my_repositories, setup
from zekt_bot.web.console import cookies, forms
from zekt_bot.web.console.at_github import install_link
from zekt_bot.web.console.frame import BROWSER, VIEWER, page
from zekt_bot.web.console.gate import COOKIES
from zekt_bot.web.console.problems import Problem, Way
from zekt_bot.web.console.repositories import count_question
from zekt_bot.web.console.sign_in import count_try
from zekt_bot.web.deps import BROKER

if TYPE_CHECKING:
    from zekt_bot.config import App
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.app_check import AppReport
    from zekt_bot.operations.roles import Waiting
    from zekt_bot.operations.setup import AppProgress, Progress

ON = Way("Go on with the setup", "/setup")
_NAMES = {"oauth": "Sign-in App", "orchestrator": "Orchestration App"}
_DOES: dict[App, str] = {
    "oauth": "signs people in and shows what they manage",
    "orchestrator": "hears of runs and starts workflows",
}


class Step(NamedTuple):
    """A line of the list of steps."""

    name: str
    label: str
    path: str
    done: bool
    second: str = ""


async def principal(request: web.Request) -> Principal:
    """Who does the setup here: the browser that brought the link, or an operator.

    Raises:
        Problem: nobody who may.
    """
    viewer = request.get(VIEWER)
    session = viewer.session if viewer else None
    inside = await setup.principal_of(request.app[BROKER], request[BROWSER], session)
    if inside is not None:
        return inside
    if await setup.is_finished(request.app[BROKER]):
        raise Problem(
            403,
            "The setup is finished",
            "These pages are the operators' now. Sign in as one of them.",
            Way("Sign in", "/login?next=/setup"),
        )
    raise Problem(
        403,
        "This browser may not do the setup",
        "Open the setup's link in it. Print a new one on the server: `zekt setup-link`.",
    )


async def progress(request: web.Request) -> Progress:
    """How far it is, for who does the setup here.

    Raises:
        Problem: nobody who may.
    """
    return await setup.progress(request.app[BROKER], await principal(request))


def step(
    request: web.Request,
    found: Progress,
    name: str,
    template: str,
    *,
    status: int = 200,
    **context: Any,
) -> web.Response:
    """A step's page beside the list of all steps."""
    shown = {
        "step": name,
        "steps": _steps(found, name),
        "progress": found,
        "until": None if found.finished else found.until,
        **context,
    }
    return page(request, f"setup/{template}", status=status, **shown)


def _steps(found: Progress, here: str) -> list[Step]:
    begun = found.oauth.done or here != "address"
    accounts = None if found.accounts is None else ", ".join(found.accounts) or "everybody"
    return [
        Step("address", "Address", "/setup/address", begun, found.public_url),
        Step("oauth", _NAMES["oauth"], "/setup/oauth", found.oauth.done, _slug(found.oauth)),
        Step(
            "orchestrator",
            _NAMES["orchestrator"],
            "/setup/orchestrator",
            found.orchestrator.done,
            _slug(found.orchestrator),
        ),
        Step(
            "operator",
            "Operator",
            "/setup/operator",
            bool(found.operators),
            ", ".join(found.operators),
        ),
        Step(
            "accounts",
            "Accounts",
            "/setup/accounts",
            accounts is not None,
            (accounts or "")[:60],
        ),
        Step("install", "Install", "/setup/install", found.finished),
        Step("check", "Check", "/setup/check", found.finished),
    ]


def _slug(app: AppProgress) -> str:
    return app.slug or ("from the environment" if app.from_environment else "")


def on(path: str = "/setup") -> web.Response:
    """Lead on, after a form."""
    return web.Response(status=303, headers={"Location": path})


async def start(request: web.Request) -> web.Response:
    """`GET /setup`: the link's door, or the step that comes next."""
    token = request.query.get("token", "")
    if token and await setup.principal_of(request.app[BROKER], request[BROWSER]) is None:
        unkept = request.app[COOKIES].unkept
        return page(request, "setup/enter.html", token=token[:100], unkept=unkept)
    found = await progress(request)
    following = {"finished": "check", "oauth": "address"}.get(found.next, found.next)
    return on(f"/setup/{following}")


async def enter(request: web.Request) -> web.Response:
    """`POST /setup/enter`: this browser does the setup from now on."""
    count_try(request)
    token, browser = forms.text(request[forms.FORM], "token"), cookies.new_secret()
    try:
        await setup.enter(request.app[BROKER], token, browser)
    except AccessDenied as error:
        raise Problem(403, "This setup link no longer works", str(error)) from None
    request[BROWSER] = browser  # a new one: one that somebody planted before may do nothing
    return on()


async def address(request: web.Request) -> web.Response:
    """`GET /setup/address`: where GitHub and people will look for this server."""
    return step(request, await progress(request), "address", "address.html")


async def operator(request: web.Request) -> web.Response:
    """`GET /setup/operator`: who it will be."""
    return step(request, await progress(request), "operator", "operator.html")


async def become_operator(request: web.Request) -> web.Response:
    """`POST /setup/operator`: whoever is signed in."""
    viewer, who = request.get(VIEWER), await principal(request)
    if viewer is None:
        raise Problem(403, "Nobody is signed in", "Sign in first.", Way("Back", "/setup/operator"))
    await setup.become_operator(request.app[BROKER], who, viewer.person)
    return on()


async def accounts(request: web.Request) -> web.Response:
    """`GET /setup/accounts`: whom this server works for."""
    found = await progress(request)
    who = "everybody" if found.accounts == () else "listed"
    return _accounts(request, found, who, ", ".join(found.accounts or ()))


def _accounts(
    request: web.Request, found: Progress, who: str, logins: str, error: str = ""
) -> web.Response:
    return step(
        request,
        found,
        "accounts",
        "accounts.html",
        status=422 if error else 200,
        who=who,
        logins=logins,
        error=error,
    )


async def choose_accounts(request: web.Request) -> web.Response:
    """`POST /setup/accounts`."""
    form, who = request[forms.FORM], await principal(request)
    chosen, typed = forms.text(form, "who"), forms.text(form, "logins", 10_000)
    logins = [] if chosen == "everybody" else [each for each in re.split(r"[,\s]+", typed) if each]
    if chosen != "everybody" and not logins:
        error = "Name at least one, or choose everybody."
    else:
        error = await _choose(request, who, logins)
    if not error:
        return on()
    found = await setup.progress(request.app[BROKER], who)
    return _accounts(request, found, chosen, typed, error)


async def _choose(request: web.Request, who: Principal, logins: list[str]) -> str:
    """Store whom this server works for; answers why not, if it was not."""
    viewer = request.get(VIEWER)
    session = viewer.session if viewer else None
    try:
        await setup.choose_accounts(request.app[BROKER], who, logins, session)
    except (InvalidInput, NotFound) as error:
        return str(error)
    except GitHubError as error:
        return f"{error} Nothing was stored; try again."
    return ""


async def install(request: web.Request) -> web.Response:
    """`GET /setup/install`: both Apps, on the accounts that take part."""
    broker, who = request.app[BROKER], await principal(request)
    found = await setup.progress(broker, who)
    orchestrator, oauth = await app_check.reports(broker, who)
    apps = [
        await _row(request, found.orchestrator, orchestrator),
        await _row(request, found.oauth, oauth),
    ]
    return step(request, found, "install", "install.html", apps=apps)


async def _row(request: web.Request, app: AppProgress, report: AppReport) -> dict[str, Any]:
    why = next((point.said for point in report.points if not point.ok), report.points[0].said)
    return {
        "name": report.name,
        "what": "a classic OAuth App: it is not installed" if app.is_classic else _DOES[app.app],
        "installations": report.installations,
        "problem": why if report.installations is None else "",
        "link": await install_link(request, app.app),
    }


async def apps(request: web.Request) -> web.Response:
    """`GET /apps`: the same for operators, at any time."""
    reports = await app_check.reports(request.app[BROKER], await principal(request))
    return page(request, "apps.html", reports=reports, unreadable=app_check.UNREADABLE)


async def done(request: web.Request) -> web.Response:
    """`GET /setup/done`."""
    if not await setup.is_finished(request.app[BROKER]):
        return on()
    return page(request, "setup/done.html")


async def installed(request: web.Request) -> web.Response:
    """`GET /setup/installed`: where GitHub leads people after installing; only a hint of it."""
    asked = request.query.get("setup_action") == "request"
    in_setup = await setup.principal_of(request.app[BROKER], request[BROWSER]) is not None
    if VIEWER in request and not in_setup:
        return on(f"/repositories?{urlencode(request.query)}")
    if in_setup and not asked:
        return on("/setup/install")
    waiting: tuple[Waiting, ...] = ()
    if asked and VIEWER in request:
        count_question(request)
        waiting = await my_repositories.waiting(request.app[BROKER], request[VIEWER].person)
    told: dict[str, Any] = {"asked": asked, "waiting": waiting, "in_setup": in_setup}
    return page(request, "setup/installed.html", **told)
