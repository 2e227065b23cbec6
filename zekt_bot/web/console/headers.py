"""What every answer tells the browser not to do.

Source: https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from multidict import CIMultiDict

from zekt_bot.web.origins import origin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from zekt_bot.config import Settings

# True on a request whose page posts a form to GitHub.
FORMS_TO_GITHUB = web.RequestKey("FORMS_TO_GITHUB", bool)
_NOTHING = "default-src 'none'; frame-ancestors 'none'"
_OURS = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
)
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # `no-referrer` would take the Origin of our own forms away too.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TWO_YEARS = "max-age=63072000"


def adding(settings: Settings) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """What adds them to an answer that is about to go out."""
    always = CIMultiDict({**_ALWAYS, "Content-Security-Policy": _NOTHING})
    if settings.public_url.startswith("https://"):
        always["Strict-Transport-Security"] = _TWO_YEARS

    async def add(request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers.update(always)
        if headers.get("Content-Type", "").startswith("text/html"):
            headers["Content-Security-Policy"] = _policy(request, settings)
            headers.setdefault("Cache-Control", "no-store")

    return add


def _policy(request: web.Request, settings: Settings) -> str:
    targets = "'self'"
    if request.get(FORMS_TO_GITHUB):
        targets += f" {origin(settings.github_url)}"
    return _OURS.format(targets=targets)
