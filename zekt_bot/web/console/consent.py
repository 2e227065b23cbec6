"""Consent: what each account allowed, what is done with it, and how it is taken back."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from zekt_bot.db.consents import MOST_COUNTED
from zekt_bot.domain.catalog import standing
from zekt_bot.errors import InvalidInput
from zekt_bot.operations import my_consent, my_data, my_repositories
from zekt_bot.web.console import forms, permissions
from zekt_bot.web.console.at_github import install_link, installation_page
from zekt_bot.web.console.frame import VIEWER, page
from zekt_bot.web.console.repositories import CHIPS, count_question
from zekt_bot.web.deps import BROKER

# The chip of each state: colour, icon, word.
STATES = {
    "active": ("green", "check", "Active"),
    "waits": ("amber", "key", "Permission to accept"),
    "suspended": ("amber", "pause", "Suspended"),
    "removed": ("grey", "plug", "Removed"),
    "blocked": ("amber", "moon", "Not admitted"),
}


async def show(request: web.Request) -> web.Response:
    """`GET /consent`."""
    broker = request.app[BROKER]
    found = await my_repositories.listing(broker, request[VIEWER].session)
    return page(
        request,
        "consent/list.html",
        found=found,
        consents=await my_consent.view(broker, found),
        states=STATES,
        chips=CHIPS,
        standing=standing,
        uses=permissions.USES,
        no_use=permissions.NO_USE,
        most=MOST_COUNTED,
        days=broker.settings.withdrawn_days,
        installation_page=installation_page(request),
        install=await install_link(request),
        install_sign_in=await install_link(request, "oauth"),
    )


async def ask(request: web.Request) -> web.Response:
    """`GET /consent/LOGIN/delete`: what happens then."""
    return await _ask(request)


async def _ask(request: web.Request, typed: str = "", error: str = "") -> web.Response:
    session, login = request[VIEWER].session, request.match_info["login"]
    owned = await my_data.mine(request.app[BROKER], session, "repository:purge", login)
    status = 422 if error else 200
    told = {"owned": owned, "typed": typed, "error": error}
    return page(request, "consent/delete.html", status=status, **told)


async def delete(request: web.Request) -> web.Response:
    """`POST` to the same."""
    count_question(request)
    session, login = request[VIEWER].session, request.match_info["login"]
    typed = forms.text(request[forms.FORM], "account")
    try:
        await my_data.delete(request.app[BROKER], session, login, typed)
    except InvalidInput as error:
        return await _ask(request, typed, str(error))
    return web.Response(status=303, headers={"Location": "/consent"})


async def export(request: web.Request) -> web.StreamResponse:
    """`GET /consent/LOGIN/export`: what is stored, a JSON object a line."""
    session, login = request[VIEWER].session, request.match_info["login"]
    count_question(request)
    rows = my_data.export(request.app[BROKER], session, login)
    first = await anext(rows)  # what is refused is refused before anything is sent
    name = f"zekt-{first['login']}.jsonl"
    response = web.StreamResponse(
        headers={
            "Content-Type": "application/x-ndjson",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        }
    )
    await response.prepare(request)
    await response.write(_line(first))
    async for row in rows:
        await response.write(_line(row))
    await response.write_eof()
    return response


def _line(row: dict[str, Any]) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
