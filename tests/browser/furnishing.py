"""Accounts in every kind of trouble, so that the pages that tell of it can be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zekt_bot.db import lapses, mirror
from zekt_bot.db.lapses import Deletion
from zekt_bot.domain.access import Operator
from zekt_bot.operations.installations import look
from zekt_bot.operations.repositories import disable, enable

if TYPE_CHECKING:
    from zekt_bot.cli.demo.console import Door
    from zekt_bot.testing import Account, App, Installation, Repository

ME = Operator("cli:me@here")


class Trouble:
    """What a person sees some months after the setup, when much went wrong."""

    def __init__(self, door: Door, orchestrator: App, sign_in: App) -> None:
        self._door, self._orchestrator, self._sign_in = door, orchestrator, sign_in

    @classmethod
    async def at(cls, door: Door) -> Trouble:
        held = await door.broker.credentials.get("orchestrator")
        apps = [one for one in door.github.core.world.apps.values() if one.setup_url]
        ours = next(one for one in apps if str(one.app_id) == held.app_id)
        return cls(door, ours, next(one for one in apps if one is not ours))

    @property
    def installed(self) -> list[Installation]:
        """The orchestration App's installations, as GitHub has them."""
        known = self._door.github.core.world.live_installations()
        return [one for one in known if one.app is self._orchestrator]

    async def everywhere(self) -> None:
        """An account in each."""
        github = self._door.github
        held, (shop,) = await self._account("harbor-retail", "storefront")
        await self._part(shop, consumer=True)
        await github.suspend(held)
        await self._hear(held, shop)
        held, (bank,) = await self._account("kestrel-labs", "ledger")
        await self._part(bank, provider=True)
        await github.uninstall(held)
        await self._hear(held, bank)
        held, parts = await self._account("north-spire", "mirror", "core")
        await self._part(parts[0], provider=True, consumer=True)
        await self._part(parts[1], consumer=True)
        await github.accept_permissions(held, {"contents": "read"})
        await self._hear(held, *parts)
        held, parts = await self._account("lumen-works", "old-site", "gone-soon", "taken-out")
        for each in parts:
            await self._part(each, provider=True)
        await github.archive(parts[0])
        await github.remove_repositories(held, parts[2])
        await self._hear(held, *parts)
        await self._purge(parts[1])
        _, (loop,) = await self._account("a-rather-long-organization-name-indeed", "all" * 20)
        await self._part(loop, provider=True, consumer=True)
        github.core.world.request(
            self._orchestrator, github.account("quiet-oak"), self._door.person
        )
        dim = github.account("dim-lights")
        dim.members = {self._door.person.id: "owner"}
        await github.suspend(await github.install(self._sign_in, dim))

    async def _account(self, login: str, *names: str) -> tuple[Installation, list[Repository]]:
        github = self._door.github
        owner: Account = github.account(login)
        owner.members = {self._door.person.id: "owner"}
        made = [github.repository(owner, name, private=True) for name in names]
        await github.install(self._sign_in, owner)
        return await github.install(self._orchestrator, owner), made

    async def _part(
        self, repository: Repository, *, provider: bool = False, consumer: bool = False
    ) -> None:
        await enable(self._door.broker, ME, repository.full_name)
        if consumer:
            await enable(self._door.broker, ME, repository.full_name, "consumer")
        if not provider:
            await disable(self._door.broker, ME, repository.full_name)

    async def _hear(self, held: Installation, *repositories: Repository) -> None:
        ids = [each.id for each in repositories]
        await look(self._door.broker, held.id, ids, "github:installation:confirmed")

    async def _purge(self, repository: Repository) -> None:
        """Begun; it is over when the worker comes to it."""
        broker, ids = self._door.broker, [repository.id]
        found = await broker.database.query(mirror.repositories_by_id, ids)
        entry = await broker.entry("person:repository:purged", ME.actor)
        versions = {each.id: each.version for each in found.values()}
        await broker.database.write(lapses.begin, Deletion(versions, [entry], broker.now()))
