"""The setup's last step: what was found, a test event, and the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.errors import Conflict, GitHubError
from zekt_bot.operations import app_check, setup, setup_check, webhook_proof
from zekt_bot.web.console import forms
from zekt_bot.web.console.problems import Problem, Way
from zekt_bot.web.console.setup import ON, on, principal, step
from zekt_bot.web.deps import BROKER

if TYPE_CHECKING:
    from aiohttp import web

    from zekt_bot.config import App
    from zekt_bot.domain.access import Principal
    from zekt_bot.operations.setup_check import Findings

_AGAIN = Way("Check again", "/setup/check")


async def show(request: web.Request) -> web.Response:
    """`GET /setup/check`: the Apps as they are at GitHub, and what came of them."""
    who = await principal(request)
    return await _show(request, who, await setup_check.look(request.app[BROKER], who))


async def _show(
    request: web.Request, who: Principal, found: Findings, error: str = ""
) -> web.Response:
    return step(
        request,
        await setup.progress(request.app[BROKER], who),
        "check",
        "check.html",
        status=422 if error else 200,
        reports=found.reports,
        webhooks=found.webhooks,
        doubts=found.doubts,
        error=error,
        names=app_check.NAMES,
        sent="sent" in request.query,
        unreadable=app_check.UNREADABLE,
    )


async def send_test(request: web.Request) -> web.Response:
    """`POST /setup/check/APP/test`: let GitHub send something once more."""
    app: App = "oauth" if request.match_info["app"] == "oauth" else "orchestrator"
    try:
        await webhook_proof.send_test(request.app[BROKER], await principal(request), app)
    except Conflict as error:
        raise Problem(409, "There is nothing to send", str(error), _AGAIN) from None
    except GitHubError as error:
        raise Problem(503, "GitHub does not answer", f"{error} Nothing was sent.", _AGAIN) from None
    return on("/setup/check?sent")


async def finish(request: web.Request) -> web.Response:
    """`POST /setup/finish`: at once if all is well, else only if that is chosen."""
    who, anyway = await principal(request), forms.text(request[forms.FORM], "anyway") == "yes"
    try:
        found = await setup_check.finish(request.app[BROKER], who, anyway=anyway)
    except Conflict as error:
        raise Problem(409, "The setup cannot end yet", str(error), ON) from None
    if found is None:
        return on("/setup/done")
    return await _show(
        request, who, found, "Tick this to end the setup although that will not work."
    )
