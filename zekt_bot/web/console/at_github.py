"""Pages at GitHub that the console leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.web.deps import BROKER, DEPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from zekt_bot.config import App
    from zekt_bot.domain.catalog import Account


async def install_link(request: web.Request, app: App = "orchestrator") -> str:
    """Where an App is installed; empty: it is not known yet, or is a classic OAuth App."""
    return await request.app[BROKER].app_pages.install(app)


def installation_page(request: web.Request) -> Callable[[Account, int], str]:
    """Where an account's owners change, suspend or remove an installation."""
    github = request.app[DEPS].settings.github_url

    def of(account: Account, installation_id: int) -> str:
        organization = account.kind == "Organization"
        owner = f"{github}/organizations/{account.login}" if organization else github
        return f"{owner}/settings/installations/{installation_id}"

    return of
