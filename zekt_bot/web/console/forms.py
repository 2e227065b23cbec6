"""What a form sent: read in bounds, and only from a page of ours in the same browser.

Source: https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict

from zekt_bot.web.console.problems import Problem
from zekt_bot.web.deps import DEPS
from zekt_bot.web.origins import origin

FORM = web.RequestKey("FORM", MultiDict[str])
TOKEN = "csrf"  # noqa: S105 - the field's name
_MOST_BYTES = 64 * 1024
_MOST_FIELDS = 200
_TYPE = "application/x-www-form-urlencoded"


def token(browser: str, session: str = "") -> str:
    """The token of every form that this browser is shown while it has this session.

    Only the browser and the server know what it is made of, and it does not tell it.
    """
    return hmac.digest(f"{browser}.{session}".encode(), b"zekt form", hashlib.sha256).hex()


async def take(request: web.Request, wanted: str | None) -> None:
    """Read the form of a request that changes something into `request[FORM]`.

    `wanted` is the token that it must have; None: the browser has none yet.

    Raises:
        Problem: too large, malformed, or from elsewhere than a page of ours in this browser.
    """
    _check_origin(request)
    form = await _read(request)
    shown = form.get(TOKEN, "").encode()
    if wanted is None or not hmac.compare_digest(wanted.encode(), shown):
        raise Problem(
            403,
            "This form is out of date",
            "You have signed in or out since, or your browser keeps no cookies. Nothing was done. "
            "Go back, load the page again and send it once more.",
        )
    request[FORM] = form


def _check_origin(request: web.Request) -> None:
    ours = origin(request.app[DEPS].settings.public_url)
    if request.headers.get("Origin") != ours:
        raise Problem(
            403,
            "This form came from elsewhere",
            f"Nothing was done. This server is reached at {ours}: open it there.",
        )


async def _read(request: web.Request) -> MultiDict[str]:
    if request.content_type != _TYPE:
        raise Problem(415, "This is no form", "Send it from the page that shows it.")
    body = bytearray()
    try:
        async with asyncio.timeout(request.app[DEPS].limits.body.total_seconds()):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise Problem(413, "That is too much", "A form may hold 64 KB.")
        return MultiDict(
            parse_qsl(
                body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
            )
        )
    except TimeoutError:
        raise Problem(408, "That took too long", "Send the form once more.") from None
    except ValueError:
        raise Problem(400, "This form is damaged", "Load the page and send it again.") from None


def text(form: MultiDict[str], name: str, most: int = 200) -> str:
    """What was typed into the field `name`, without blanks around it and of `most` characters."""
    return form.get(name, "").strip()[:most]
