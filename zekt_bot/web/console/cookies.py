"""The console's cookies: what a browser keeps, and under which name.

Source: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from datetime import timedelta

    from aiohttp import web

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_BYTES = 32


def new_secret() -> str:
    """256 random bits, as a cookie holds them."""
    return secrets.token_urlsafe(_BYTES)


class Cookies:
    """Secret cookies of the server at `public_url`.

    A `__Host-` cookie comes from this very host by https and from nowhere else. Browsers keep none
    from http, so a server of this machine (localhost, 127.0.0.1, [::1]), and only that, uses plain
    names.
    """

    def __init__(self, public_url: str) -> None:
        """Decide once: https everywhere but on this machine."""
        parts = urlsplit(public_url)
        self.secure = not (parts.scheme == "http" and parts.hostname in _LOCAL)
        self.unkept = self.secure and parts.scheme == "http"
        """Whether browsers drop them, so that no form works and nobody can sign in."""

    def name(self, noun: str) -> str:
        """The name of the cookie that holds `noun`."""
        return f"__Host-zekt-{noun}" if self.secure else f"zekt-{noun}"

    def read(self, request: web.Request, noun: str) -> str | None:
        """What the browser sent, if it can be one of `new_secret`."""
        value = request.cookies.get(self.name(noun), "")
        return value if len(value) == 43 and value.isascii() else None

    def write(
        self, response: web.StreamResponse, noun: str, value: str, age: timedelta | None = None
    ) -> None:
        """Let the browser keep `value`; without `age` until it is closed."""
        response.set_cookie(
            self.name(noun),
            value,
            max_age=int(age.total_seconds()) if age else None,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="Lax",
        )

    def forget(self, response: web.StreamResponse, noun: str) -> None:
        """Let the browser drop it."""
        response.del_cookie(
            self.name(noun), path="/", secure=self.secure, httponly=True, samesite="Lax"
        )
