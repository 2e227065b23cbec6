"""Consent: what each account allowed, what is done with it, and how it is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.domain.catalog import standing
from zekt_bot.operations import my_consent
from zekt_bot.web.console import permissions
from zekt_bot.web.console.at_github import install_link, installation_page
from zekt_bot.web.console.frame import VIEWER, page
from zekt_bot.web.console.repositories import CHIPS
from zekt_bot.web.deps import BROKER

if TYPE_CHECKING:
    from aiohttp import web

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
    return page(
        request,
        "consent/list.html",
        consents=await my_consent.view(broker, request[VIEWER].session),
        states=STATES,
        chips=CHIPS,
        standing=standing,
        uses=permissions.USES,
        no_use=permissions.NO_USE,
        days=broker.settings.withdrawn_days,
        installation_page=installation_page(request),
        install=await install_link(request),
    )
