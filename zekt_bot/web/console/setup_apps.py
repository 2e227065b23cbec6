"""The setup's pages that make the two Apps: a form, what GitHub is told, and the way back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from zekt_bot.errors import Conflict, GitHubError, InvalidInput
from zekt_bot.github.manifest import hook_url
from zekt_bot.operations import setup, setup_apps
from zekt_bot.operations.setup_apps import Draft
from zekt_bot.web.console import forms, permissions
from zekt_bot.web.console.frame import BROWSER
from zekt_bot.web.console.headers import FORMS_TO_GITHUB
from zekt_bot.web.console.problems import Problem, Way
from zekt_bot.web.console.setup import ON, on, principal, progress, step
from zekt_bot.web.deps import BROKER

if TYPE_CHECKING:
    from aiohttp import web

    from zekt_bot.config import App
    from zekt_bot.operations.setup import AppProgress, Progress

_UNUSABLE = "GitHub's answer cannot be used"
_LABELS: dict[App, str] = {"oauth": "Sign-in App", "orchestrator": "Orchestration App"}
_NAMES: dict[App, str] = {"oauth": "sign-in App", "orchestrator": "orchestration App"}
_WHY: dict[App, str] = {
    "oauth": (
        "People sign in with it, and it lets GitHub say which repositories they manage. It can "
        "read no code and write nothing."
    ),
    "orchestrator": (
        "Providers and consumers install it: it hears of finished runs and starts workflows."
    ),
}
_EFFECTS: dict[App, str] = {
    "oauth": "nobody can sign in",
    "orchestrator": "no webhook is taken and nothing is dispatched",
}


def _app(request: web.Request) -> App:
    return "oauth" if request.match_info["app"] == "oauth" else "orchestrator"


def _state(request: web.Request, found: Progress) -> AppProgress:
    return found.oauth if _app(request) == "oauth" else found.orchestrator


async def form(request: web.Request) -> web.Response:
    """`GET /setup/oauth` and `/setup/orchestrator`."""
    draft = Draft(setup_apps.suggested_name(_app(request)))
    return _form(request, await progress(request), draft, {})


def _form(
    request: web.Request, found: Progress, draft: Draft, errors: dict[str, str]
) -> web.Response:
    app = _app(request)
    return step(
        request,
        found,
        app,
        "app.html",
        status=422 if errors else 200,
        app=app,
        app_label=_LABELS[app],
        app_name=_NAMES[app],
        why=_WHY[app],
        hook_url=hook_url(app, request.app[BROKER].settings.public_url),
        state=_state(request, found),
        values=asdict(draft),
        errors=errors,
    )


async def hand_over(request: web.Request) -> web.Response:
    """`POST /setup/oauth` and `/setup/orchestrator`: a form that goes to GitHub."""
    app, sent, who = _app(request), request[forms.FORM], await principal(request)
    draft = Draft(
        forms.text(sent, "name"),
        forms.text(sent, "organization"),
        forms.text(sent, "hook_url", 500),
    )
    try:
        handed = await setup_apps.begin(request.app[BROKER], who, app, draft, request[BROWSER])
    except InvalidInput as error:
        found = await setup.progress(request.app[BROKER], who)
        return _form(request, found, draft, {error.data.get("field", "name"): str(error)})
    except Conflict as error:
        raise Problem(409, "This step is done", str(error), ON) from None
    request[FORMS_TO_GITHUB] = True
    told = json.loads(handed.manifest)
    return step(
        request,
        await setup.progress(request.app[BROKER], who),
        app,
        "handover.html",
        app=app,
        app_label=_LABELS[app],
        values=asdict(draft),
        handover=handed,
        reasons=[
            (f"{name}: {level}", permissions.USES.get(name, ""))
            for name, level in told["default_permissions"].items()
        ],
        pretty=json.dumps(told, indent=2),
    )


async def created(request: web.Request) -> web.Response:
    """`GET /setup/created/APP`: GitHub leads here with a code that is good once."""
    answer = request.query.get("code", ""), request.query.get("state", "")
    who = await principal(request)
    try:
        await setup_apps.created(request.app[BROKER], who, _app(request), answer, request[BROWSER])
    except Conflict as error:
        raise Problem(409, _UNUSABLE, str(error), ON) from None
    except GitHubError as error:
        raise Problem(
            503,
            "GitHub does not answer",
            f"{error} Nothing was stored. What GitHub brought back is good for an hour: try again "
            "in a minute.",
            Way("Try again", request.path_qs),
            {"Retry-After": "60"},
        ) from None
    return on()


async def confirm_forgetting(request: web.Request) -> web.Response:
    """`GET /setup/APP/forget`."""
    app, found = _app(request), await progress(request)
    return step(
        request,
        found,
        app,
        "forget.html",
        app=app,
        state=_state(request, found),
        effect=_EFFECTS[app],
    )


async def forget(request: web.Request) -> web.Response:
    """`POST /setup/APP/forget`."""
    await setup_apps.forget(request.app[BROKER], await principal(request), _app(request))
    return on(f"/setup/{_app(request)}")
