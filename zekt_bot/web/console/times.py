"""Times in the reader's zone, which the page's script tells in a cookie; before that in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from jinja2 import pass_context
from markupsafe import Markup

if TYPE_CHECKING:
    from datetime import tzinfo

    from aiohttp import web
    from jinja2.runtime import Context

ZONE_COOKIE = "zekt-zone"


def zone(request: web.Request) -> tzinfo:
    """The reader's zone, UTC if it is not known here."""
    name = request.cookies.get(ZONE_COOKIE, "").replace("%2F", "/")
    try:
        return ZoneInfo(name) if name else UTC
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return UTC


@pass_context
def shown(context: Context, at: datetime) -> Markup:
    """`at` as a `<time>`: today by the second, else by day and minute."""
    there = context["zone"]
    text = _text(at.astimezone(there), context["now"].astimezone(there))
    machine = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}">{}</time>').format(machine, text)


def _text(at: datetime, now: datetime) -> str:
    if at.date() == now.date():
        return f"{at:%H:%M:%S}"
    if at.year == now.year:
        return f"{at.day} {at:%b}, {at:%H:%M}"
    return f"{at.day} {at:%b %Y}, {at:%H:%M}"
