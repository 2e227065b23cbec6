"""How one likes to see the console."""

from __future__ import annotations

from urllib.parse import urlsplit

from aiohttp import web

from zekt_bot.domain.sessions import local_path
from zekt_bot.web.console import forms
from zekt_bot.web.console.frame import THEME_COOKIE, THEMES
from zekt_bot.web.console.gate import COOKIES

_YEAR = 365 * 24 * 3600


async def theme(request: web.Request) -> web.Response:
    """Remember a theme in this browser; back to where one was."""
    response = web.Response(status=303, headers={"Location": _back(request)})
    chosen = forms.text(request[forms.FORM], "theme")
    if chosen in THEMES[1:]:
        response.set_cookie(
            THEME_COOKIE,
            chosen,
            max_age=_YEAR,
            secure=request.app[COOKIES].secure,
            httponly=True,
            samesite="Lax",
        )
    else:
        response.del_cookie(THEME_COOKIE)
    return response


def _back(request: web.Request) -> str:
    """The path of the page with the form: our own host's, whatever the header says."""
    parts = urlsplit(request.headers.get("Referer", ""))
    path = f"/{parts.path.lstrip('/')}"
    return local_path(f"{path}?{parts.query}" if parts.query else path)
