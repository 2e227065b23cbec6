"""What people and owners do on the simulated GitHub; each deed sends its webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from zekt_bot.testing import app_shapes, payloads, shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from zekt_bot.testing.core import Core
    from zekt_bot.testing.model import Account, App, Installation, Repository, Role
    from zekt_bot.testing.shapes import Json


class InstallationScripts:
    """Installing and uninstalling."""

    def __init__(self, core: Core) -> None:
        """Act on this host."""
        self._core = core

    async def install(
        self,
        app: App,
        account: Account,
        repositories: Literal["all"] | Iterable[Repository] = "all",
        by: Account | None = None,
    ) -> Installation:
        """Install an App with all that it asks for; sends `installation.created`."""
        chosen = None if isinstance(repositories, str) else {one.id for one in repositories}
        installation = self._core.world.add_installation(app, account, chosen)
        await self._tell_of(installation, "created", by)
        return installation

    async def _tell_of(
        self, installation: Installation, action: str, by: Account | None = None
    ) -> None:
        covered = self._core.world.covered(installation)
        await self._core.announce_installation(installation, action, covered, by)

    async def uninstall(self, installation: Installation, by: Account | None = None) -> None:
        """Remove it, its tokens die; sends `installation.deleted`."""
        covered = self._core.world.covered(installation)
        installation.deleted = True
        installation.suspended_at = None
        await self._core.announce_installation(installation, "deleted", covered, by)

    async def suspend(self, installation: Installation, by: Account | None = None) -> None:
        """Suspend it: no token, no webhooks but this one."""
        installation.suspended_at = installation.updated_at = self._core.now()
        installation.suspended_by = by or self._core.world.sender
        await self._tell_of(installation, "suspend", by)

    async def unsuspend(self, installation: Installation, by: Account | None = None) -> None:
        """Let it act again; sends `installation.unsuspend`."""
        installation.suspended_at, installation.suspended_by = None, None
        installation.updated_at = self._core.now()
        await self._tell_of(installation, "unsuspend", by)

    async def accept_permissions(
        self,
        installation: Installation,
        permissions: Mapping[str, str],
        events: Sequence[str] | None = None,
    ) -> None:
        """Grant something else; sends `installation.new_permissions_accepted`."""
        installation.permissions = {**permissions, "metadata": "read"}
        if events is not None:
            installation.events = tuple(events)
        installation.updated_at = self._core.now()
        await self._tell_of(installation, "new_permissions_accepted")

    async def add_repositories(self, installation: Installation, *added: Repository) -> None:
        """Grant more repositories; sends `installation_repositories.added`."""
        if installation.selected is None:
            raise ValueError("It is installed on all repositories.")
        installation.selected |= {one.id for one in added}
        installation.updated_at = self._core.now()
        await self._core.announce_repositories(installation, added=added)

    async def remove_repositories(self, installation: Installation, *removed: Repository) -> None:
        """Grant fewer; an installation on `all` becomes one on the rest."""
        if installation.selected is None:
            installation.selected = {one.id for one in self._core.world.covered(installation)}
        installation.selected -= {one.id for one in removed}
        installation.updated_at = self._core.now()
        await self._core.announce_repositories(installation, removed=removed)

    async def revoke_authorization(self, app: App, account: Account) -> None:
        """A person withdraws an App's authorization; sends `github_app_authorization`."""
        await self._core.withdraw(app, account)

    async def ping(self, app: App) -> None:
        """Send `ping`, as when the hook is made."""
        await self._core.hooks.send({app: payloads.ping(app, self._core.urls)}, "ping")


class RepositoryScripts:
    """Changing repositories and accounts."""

    def __init__(self, core: Core) -> None:
        """Act on this host."""
        self._core = core

    async def _tell(self, repository: Repository, action: str, changes: Json | None = None) -> None:
        repository.updated_at = self._core.now()
        body = payloads.repository(
            repository, action, self._core.world.sender, changes, urls=self._core.urls
        )
        await self._core.announce("repository", repository, body)

    async def rename(self, repository: Repository, name: str) -> None:
        """Another name; the former one redirects. Sends `repository.renamed`."""
        former = repository.name
        self._core.world.remember_name(repository)
        repository.name = name
        self._core.world.forget_name(repository.full_name)
        await self._tell(repository, "renamed", {"repository": {"name": {"from": former}}})

    async def transfer(self, repository: Repository, owner: Account) -> None:
        """Another owner. The former owner's Apps hear that it was removed; the new owner's Apps,
        where they are installed on all, that it was added and `repository.transferred`."""
        before, former = self._holding(repository), repository.owner
        self._core.world.remember_name(repository)
        repository.owner = owner
        self._core.world.forget_name(repository.full_name)
        await self._removed(repository, before)
        for installation in self._holding(repository):
            await self._core.announce_repositories(installation, added=[repository])
        kind = "organization" if former.kind == "Organization" else "user"
        told = shapes.organization if kind == "organization" else shapes.simple_user
        changes = {"owner": {"from": {kind: told(former, self._core.urls)}}}
        await self._tell(repository, "transferred", changes)

    def _holding(self, repository: Repository) -> list[Installation]:
        installed = self._core.world.live_installations()
        return [one for one in installed if one.covers(repository)]

    async def _removed(self, repository: Repository, holding: Iterable[Installation]) -> None:
        for installation in holding:
            if installation.selected is not None:
                installation.selected.discard(repository.id)
            await self._core.announce_repositories(installation, removed=[repository])

    def grant(self, repository: Repository, person: Account, role: Role | None) -> None:
        """Give a person this role there, or none. Apps hear nothing of it."""
        repository.roles.pop(person.id, None)
        if role is not None:
            repository.roles[person.id] = role

    async def archive(self, repository: Repository) -> None:
        """Make it read-only; sends `repository.archived`."""
        repository.archived = True
        await self._tell(repository, "archived")

    async def unarchive(self, repository: Repository) -> None:
        """Make it writable again; sends `repository.unarchived`."""
        repository.archived = False
        await self._tell(repository, "unarchived")

    async def privatize(self, repository: Repository) -> None:
        """Hide it; sends `repository.privatized`."""
        repository.private, repository.internal = True, False
        await self._tell(repository, "privatized")

    async def publicize(self, repository: Repository) -> None:
        """Show it to everybody; sends `repository.publicized`."""
        repository.private = repository.internal = False
        await self._tell(repository, "publicized")

    async def change_default_branch(self, repository: Repository, branch: str) -> None:
        """Another branch, which has the former one's files if it is new; sends
        `repository.edited`."""
        former, repository.default_branch = repository.default_branch, branch
        repository.files.setdefault(branch, dict(repository.files.get(former, {})))
        await self._tell(repository, "edited", {"default_branch": {"from": former}})

    async def delete_repository(self, repository: Repository) -> None:
        """Delete it. Apps get no `repository.deleted`, but `installation_repositories.removed`."""
        holding = self._holding(repository)
        del self._core.world.repositories[repository.id]
        await self._removed(repository, holding)

    async def rename_account(self, account: Account, login: str) -> None:
        """Another login; its repositories' former names redirect, and each App that subscribed
        gets `installation_target.renamed`."""
        world, former = self._core.world, account.login
        owned = [one for one in world.repositories.values() if one.owner is account]
        for repository in owned:
            world.remember_name(repository)
        account.login = login
        for repository in owned:
            world.forget_name(repository.full_name)
        body = payloads.installation_target(account, former, world.sender, self._core.urls)
        bodies = {
            one.app: {**body, "installation": app_shapes.installation_reference(one)}
            for one in world.live_installations()
            if one.account is account and one.hears("installation_target")
        }
        await self._core.hooks.send(bodies, "installation_target")
