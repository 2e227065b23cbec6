"""What is kept of oneself: a file to take along, and its deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from zekt_bot.errors import InvalidInput
from zekt_bot.operations import my_own
from zekt_bot.web.console import forms
from zekt_bot.web.console.frame import VIEWER, page
from zekt_bot.web.console.gate import COOKIES
from zekt_bot.web.console.repositories import count_question
from zekt_bot.web.deps import BROKER

if TYPE_CHECKING:
    from zekt_bot.web.console.frame import Viewer


async def export(request: web.Request) -> web.Response:
    """`GET /me/export`: a JSON document."""
    count_question(request)
    viewer: Viewer = request[VIEWER]
    kept = await my_own.export(request.app[BROKER], viewer.session)
    return web.Response(
        body=orjson.dumps(kept, option=orjson.OPT_UTC_Z | orjson.OPT_INDENT_2),
        headers={
            "Content-Type": "application/json",
            "Content-Disposition": f'attachment; filename="zekt-{viewer.person.login}.json"',
            "Cache-Control": "no-store",
        },
    )


async def ask(request: web.Request) -> web.Response:
    """`GET /me/delete`: what happens then."""
    return page(request, "me_delete.html", typed="", error="")


async def delete(request: web.Request) -> web.Response:
    """`POST` to the same."""
    viewer: Viewer = request[VIEWER]
    typed = forms.text(request[forms.FORM], "login")
    try:
        await my_own.delete(request.app[BROKER], viewer.session, typed)
    except InvalidInput as error:
        return page(request, "me_delete.html", status=422, typed=typed, error=str(error))
    response = web.Response(status=303, headers={"Location": "/login"})
    request.app[COOKIES].forget(response, "session")
    return response
