"""A person's browser at the simulated GitHub: it fills in GitHub's forms."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from zekt_bot.testing import GitHubSimulator

BACK = "https://zekt.example/setup/created/orchestrator"
MANIFEST: dict[str, Any] = {
    "name": "Zekt of Aurora",
    "url": "https://zekt.example",
    "public": True,
    "hook_attributes": {"url": "https://zekt.example/webhooks/github", "active": True},
    "redirect_url": BACK,
    "setup_url": "https://zekt.example/setup/installed",
    "setup_on_update": True,
    "default_permissions": {"actions": "read", "contents": "write"},
    "default_events": ["workflow_run", "installation_target"],
}


class Browser:
    """Fills in GitHub's forms and says where it is led."""

    def __init__(self, github: GitHubSimulator, session: ClientSession) -> None:
        self.github, self.session = github, session

    async def sign_in(self, login: str) -> None:
        """At GitHub, as the person with this login."""
        await self.post("/session", login=login, password="any")

    async def get(self, path: str) -> str:
        """A page."""
        async with self.session.get(self.github.web_url + path) as answer:
            return await answer.text()

    async def post(self, path: str, **fields: Any) -> tuple[int, str]:
        """The status, and the page or where it leads."""
        url = self.github.web_url + path
        async with self.session.post(url, data=fields, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("location") or await answer.text()

    async def draft(self, path: str = "/settings/apps/new?state=abc", **changed: Any) -> str:
        """The form that confirms a manifest: where it posts to."""
        status, page = await self.post(path, manifest=json.dumps({**MANIFEST, **changed}))
        assert status == 200, page
        (action,) = re.findall(r'action="([^"]+)"', page)
        return str(action)

    async def code(self, name: str = "Zekt of Aurora", **changed: Any) -> dict[str, str]:
        """Confirm a manifest: what GitHub brings back."""
        status, where = await self.post(await self.draft(**changed), name=name)
        assert (status, where.split("?")[0]) == (302, BACK)
        return {key: value for key, (value,) in parse_qs(urlsplit(where).query).items()}
