"""An organization whose people manage some of its repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.stage import ME
from zekt_bot.operations import repositories

if TYPE_CHECKING:
    from tests.web.console.browsing import Browser
    from tests.web.console.console import Console
    from zekt_bot.testing import Installation, Repository


class Org:
    """aurora-labs with both Apps; `maja` administers payments-api and maintains docs."""

    def __init__(self, console: Console) -> None:
        self.console = console

    async def found(self) -> Org:
        github = self.console.github
        self.org = github.account("aurora-labs")
        self.api, self.docs, self.other = (
            github.repository(self.org, name, private=True)
            for name in ("payments-api", "docs", "not-theirs")
        )
        github.grant(self.api, self.console.maja, "admin")
        github.grant(self.docs, self.console.maja, "maintain")
        github.grant(self.other, self.console.maja, "write")
        self.installed: Installation = await github.install(self.console.orchestrator, self.org)
        self.signing_in = await github.install(self.console.oauth, self.org)
        for each in (self.api, self.docs, self.other):
            await self._known(each)
        return self

    async def _known(self, repository: Repository) -> None:
        """Let Zekt have met it, disabled."""
        await repositories.enable(self.console.broker, ME, repository.full_name)
        await repositories.disable(self.console.broker, ME, repository.full_name)

    async def enable(self, name: str) -> None:
        """Let it take part."""
        await repositories.enable(self.console.broker, ME, f"aurora-labs/{name}")

    async def browser(self) -> Browser:
        browser = self.console.browser()
        await self.console.sign_in(browser)
        return browser

    def asked(self) -> int:
        return sum(one.path.startswith("/user/inst") for one in self.console.github.requests)
