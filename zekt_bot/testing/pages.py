"""Pages of the simulated GitHub, as plain as can be: what counts is where their forms lead.

Source: https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHELL = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><main><h1>{title}</h1>
{body}
</main></body></html>"""


class PageRefusal(Exception):
    """GitHub shows a page that says why not."""

    def __init__(self, status: int, message: str) -> None:
        """`message` is for the person."""
        super().__init__(message)
        self.status = status

    def response(self) -> web.Response:
        """As a page."""
        return page(f"Error {self.status}", f"<p>{escape(str(self))}</p>", self.status)


def page(title: str, body: str, status: int = 200) -> web.Response:
    """A page; `body` is HTML."""
    text = _SHELL.format(title=escape(title), body=body)
    return web.Response(status=status, text=text, content_type="text/html")


def form(action: str, fields: str, button: str) -> str:
    """A form that posts; `fields` is HTML."""
    return (
        f'<form method="post" action="{escape(action)}">{fields}'
        f'<button type="submit">{escape(button)}</button></form>'
    )


def alert(text: str) -> str:
    """An error above a form."""
    return f'<p role="alert">{escape(text)}</p>' if text else ""


def back_to(url: str, **query: str | int | None) -> web.Response:
    """Lead the browser on, with these parameters added to those that the address has."""
    parts = urlsplit(url)
    told = {name: str(value) for name, value in query.items() if value is not None}
    merged = {**dict(parse_qsl(parts.query)), **told}
    where = urlunsplit((*parts[:3], urlencode(merged), ""))
    return web.Response(status=302, headers={"Location": where})


async def fields_of(request: web.Request) -> Mapping[str, str]:
    """The fields of a form; of a repeated one, all its values divided by commas."""
    told = await request.post()
    return {name: ",".join(str(value) for value in told.getall(name)) for name in told}
