"""All that the simulated GitHub knows, found by id or by name. No I/O."""

from __future__ import annotations

import itertools
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from zekt_bot.testing.model import (
    WORKFLOWS,
    Account,
    App,
    Installation,
    InstallationRequest,
    Repository,
    Token,
    Workflow,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from zekt_bot.clock import Clock
    from zekt_bot.testing.model import Kind
    from zekt_bot.testing.runs import WorkflowRun

AGE = timedelta(days=400)


@cache
def private_key(ordinal: int) -> str:
    """The RSA key of the first, second … App of this process, in PEM; made once."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


class World:
    """The state. Ids count up from where GitHub's have long been."""

    def __init__(self, clock: Clock) -> None:
        """An empty GitHub with one person, `octocat`, who does what a script does."""
        self.clock = clock
        self.accounts: dict[int, Account] = {}
        self.repositories: dict[int, Repository] = {}
        self.apps: dict[int, App] = {}
        self.installations: dict[int, Installation] = {}
        self.tokens: dict[str, Token] = {}
        self.runs: list[WorkflowRun] = []
        self.requests: list[InstallationRequest] = []
        """Who asked the owners of which account for which App."""
        self.takes_local_hooks = False
        """Whether an App's hook may be at an address that only this machine reaches."""
        self.is_private = False
        """Whether the API tells nobody anything without a token."""
        self.learns_a_key_in = timedelta(seconds=3)
        """How long the key of an App made of a manifest is refused."""
        self._former_names: dict[str, int] = {}
        self._ids: dict[str, Iterator[int]] = {}
        self.sender = self.add_account("octocat", "User")

    def next_id(self, kind: str) -> int:
        """A number that nothing of this kind has yet."""
        starts = {
            "account": 41548062,
            "request": 2260101,
            "app": 1234501,
            "installation": 57300101,
            "repository": 730001405,
            "run": 9821735001,
            "job": 27071843001,
            "suite": 24150000101,
            "workflow": 98001201,
            "hook": 480200301,
            "delivery": 98710000001,
        }
        counter = self._ids.setdefault(kind, itertools.count(starts[kind], 7))
        return next(counter)

    def add_account(self, login: str, kind: Kind) -> Account:
        """A new account."""
        if self.account(login) is not None:
            raise ValueError(f"There is an account {login} already.")
        account = Account(self.next_id("account"), login, kind, self.clock.now() - AGE)
        self.accounts[account.id] = account
        return account

    def add_repository(self, owner: Account, name: str) -> Repository:
        """A new repository. It takes its name from whichever redirected it before."""
        if self.repository(f"{owner.login}/{name}") is not None:
            raise ValueError(f"There is a repository {owner.login}/{name} already.")
        now = self.clock.now()
        repository = Repository(self.next_id("repository"), owner, name, now - AGE, now)
        self.repositories[repository.id] = repository
        self._former_names.pop(repository.full_name.lower(), None)
        return repository

    def add_workflow(self, repository: Repository, path: str, name: str) -> Workflow:
        """A workflow file; a short path is below `.github/workflows/`."""
        full = path if "/" in path else WORKFLOWS + path
        workflow = Workflow(
            self.next_id("workflow"), repository, full, name, self.clock.now() - AGE
        )
        repository.workflows.append(workflow)
        return workflow

    def add_app(
        self, slug: str, owner: Account, permissions: Mapping[str, str], events: Sequence[str]
    ) -> App:
        """A registered App, with its bot, key and secrets."""
        number = self.next_id("app")
        bot = self.add_account(f"{slug}[bot]", "Bot")
        bot.app_slug = slug
        app = App(
            id=number,
            slug=slug,
            name=slug,
            owner=owner,
            bot=bot,
            client_id=f"Iv23li{number:014d}",
            client_secret=f"{number:040x}",
            webhook_secret=f"webhook-secret-of-{slug}-{number}",
            private_key=private_key(len(self.apps)),
            hook_id=self.next_id("hook"),
            hook_url=None,
            permissions={**permissions, "metadata": "read"},
            events=tuple(events),
            created_at=self.clock.now(),
        )
        self.apps[number] = app
        return app

    def add_installation(
        self, app: App, account: Account, selected: set[int] | None
    ) -> Installation:
        """Install the App, with all that it asks for."""
        if self.installation_of(app, account) is not None:
            raise ValueError(f"{app.slug} is installed on {account.login} already.")
        now = self.clock.now().replace(microsecond=0)
        number = self.next_id("installation")
        granted = dict(app.permissions)
        installation = Installation(number, app, account, granted, app.events, now, now, selected)
        self.installations[number] = installation
        asked = (app, account)
        self.requests = [one for one in self.requests if (one.app, one.account) != asked]
        return installation

    def request(self, app: App, account: Account, person: Account) -> InstallationRequest:
        """Somebody who may not install the App asks for it; asking again changes nothing."""
        told = (app, account, person)
        known = (one for one in self.requests if (one.app, one.account, one.requester) == told)
        made = next(known, None)
        if made is None:
            number, now = self.next_id("request"), self.clock.now().replace(microsecond=0)
            made = InstallationRequest(number, app, account, person, now)
            self.requests.append(made)
        return made

    def account(self, login: str) -> Account | None:
        """The account with this login, case ignored."""
        wanted = login.lower()
        return next((a for a in self.accounts.values() if a.login.lower() == wanted), None)

    def repository(self, full_name: str) -> Repository | None:
        """The repository that has this name now."""
        wanted = full_name.lower()
        return next((r for r in self.repositories.values() if r.full_name.lower() == wanted), None)

    def formerly(self, full_name: str) -> Repository | None:
        """The repository that had this name before, if no other has it now."""
        return self.repositories.get(self._former_names.get(full_name.lower(), 0))

    def remember_name(self, repository: Repository) -> None:
        """Let the present name lead to the repository after it has got another."""
        self._former_names[repository.full_name.lower()] = repository.id

    def forget_name(self, full_name: str) -> None:
        """A name that is taken no longer redirects."""
        self._former_names.pop(full_name.lower(), None)

    def installation_of(self, app: App, account: Account) -> Installation | None:
        """The App's installation on the account, suspended or not."""
        return next(
            (i for i in self.live_installations() if i.app is app and i.account is account), None
        )

    def live_installations(self) -> list[Installation]:
        """All that were not uninstalled, the oldest first."""
        return [one for one in self.installations.values() if not one.deleted]

    def covered(self, installation: Installation) -> list[Repository]:
        """The repositories of an installation."""
        return [one for one in self.repositories.values() if installation.covers(one)]

    def runs_of(self, repository: Repository) -> list[WorkflowRun]:
        """The repository's runs, the newest first."""
        return [run for run in reversed(self.runs) if run.repository is repository]
