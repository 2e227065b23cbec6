"""What exists on the simulated GitHub: accounts, repositories, Apps and their installations."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Kind = Literal["User", "Organization", "Bot"]
Membership = Literal["owner", "member"]
Role = Literal["admin", "maintain", "write", "triage", "read"]

HIDDEN_EVENTS = frozenset({"installation_target", "meta"})
"""Events that an App may subscribe to, but that no answer of the API lists."""

NEEDS = {"workflow_run": "actions", "workflow_job": "actions", "repository": "metadata"}
"""The permission without which an event is not sent."""

WORKFLOWS = ".github/workflows/"

LEVELS = {"read": 1, "write": 2, "admin": 3}


def node_id(prefix: str, number: int) -> str:
    """A global node id as GitHub shapes it: a prefix of the type, then base64."""
    text = base64.urlsafe_b64encode(number.to_bytes(8, "big").lstrip(b"\0") or b"\0")
    return f"{prefix}_kgDO{text.decode().rstrip('=')}"


def sha1(*parts: object) -> str:
    """Forty hex digits that stand for a commit or a tree, always the same for the same parts."""
    return hashlib.sha1("/".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()


@dataclass(eq=False)
class Account:
    """A user, an organization or an App's bot."""

    id: int
    login: str
    kind: Kind
    created_at: datetime
    name: str | None = None
    app_slug: str | None = None
    verified: bool = False
    """Whether GitHub verified that it has its domain."""
    members: dict[int, Membership] | None = None
    """An organization's people; None: whoever acts is one of its owners."""

    def has_member(self, person: Account) -> bool:
        """Whether it is this person, or an organization that they belong to."""
        return self.is_owned_by(person) or person.id in (self.members or {})

    def is_owned_by(self, person: Account) -> bool:
        """Whether this person decides for it."""
        if self.kind != "Organization":
            return self is person
        return self.members is None or self.members.get(person.id) == "owner"

    @property
    def node_id(self) -> str:
        """The global node id."""
        return node_id({"User": "U", "Organization": "O", "Bot": "BOT"}[self.kind], self.id)


@dataclass(eq=False)
class Workflow:
    """A workflow, as GitHub has read it; its file is one of the repository's `files`."""

    id: int
    repository: Repository
    path: str
    name: str
    created_at: datetime
    on_dispatch_types: tuple[str, ...] = ()
    """The `types` of its `on: repository_dispatch`; `("*",)` stands for none given: any type."""
    run_name: str | None = None
    finishes: str | None = None
    """The conclusion that runs started by a dispatch reach by themselves; None: a script acts, or
    the runner in use."""
    jobs: tuple[str, ...] = ("build",)
    runs: int = 0
    state: str = "active"
    updated_at: datetime | None = None
    deleted_at: datetime | None = None

    def starts_on(self, event_type: str) -> bool:
        """Whether a dispatch of this type starts it: only from the default branch."""
        repository = self.repository
        there = self.path in repository.files.get(repository.default_branch, {})
        if not there or self.state != "active" or not repository.actions_enabled:
            return False
        return "*" in self.on_dispatch_types or event_type in self.on_dispatch_types


@dataclass(eq=False)
class Repository:
    """A repository; `full_name` follows its owner's login."""

    id: int
    owner: Account
    name: str
    created_at: datetime
    updated_at: datetime
    private: bool = False
    default_branch: str = "main"
    description: str | None = None
    archived: bool = False
    fork: bool = False
    disabled: bool = False
    internal: bool = False
    """Open to its enterprise; GitHub calls such a repository private too."""
    actions_enabled: bool = True
    workflows: list[Workflow] = field(default_factory=list)
    roles: dict[int, Role] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict, repr=False)
    """By branch and path."""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """Those of Actions."""
    variables: dict[str, str] = field(default_factory=dict)
    """Those of Actions."""

    @property
    def full_name(self) -> str:
        """OWNER/REPO."""
        return f"{self.owner.login}/{self.name}"

    @property
    def visibility(self) -> str:
        """`internal`, `private` or `public`."""
        if self.internal:
            return "internal"
        return "private" if self.private else "public"

    @property
    def node_id(self) -> str:
        """The global node id."""
        return node_id("R", self.id)


@dataclass(eq=False)
class App:
    """A registered GitHub App."""

    id: int
    slug: str
    name: str
    owner: Account
    bot: Account
    client_id: str
    client_secret: str = field(repr=False)
    webhook_secret: str = field(repr=False)
    private_key: str = field(repr=False)
    hook_id: int
    hook_url: str | None
    permissions: dict[str, str]
    events: tuple[str, ...]
    created_at: datetime
    public: bool = True
    is_classic: bool = False
    """A classic OAuth App: it is told more of who signs in."""
    setup_url: str | None = None
    setup_on_update: bool = False
    callback_urls: tuple[str, ...] = ()
    known_from: datetime | None = None
    """Until then its key is so new that GitHub refuses it."""

    @property
    def app_id(self) -> int:
        """The App's number."""
        return self.id

    @property
    def listed_events(self) -> list[str]:
        """The events that the API shows."""
        return sorted(set(self.events) - HIDDEN_EVENTS)


@dataclass(eq=False)
class Installation:
    """An App on an account, for all of its repositories (`selected` is None) or for some."""

    id: int
    app: App
    account: Account
    permissions: dict[str, str]
    events: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    selected: set[int] | None = None
    suspended_at: datetime | None = None
    suspended_by: Account | None = None
    deleted: bool = False
    rate_limit: int = 5000

    @property
    def repository_selection(self) -> str:
        """`all` or `selected`."""
        return "all" if self.selected is None else "selected"

    @property
    def active(self) -> bool:
        """Neither suspended nor uninstalled."""
        return not self.deleted and self.suspended_at is None

    def hears(self, event: str) -> bool:
        """Whether this event is sent, of what it covers: none for which a permission is missing."""
        needed = {NEEDS[event]: "read"} if event in NEEDS else {}
        return self.active and event in self.events and self.grants(needed)

    def covers(self, repository: Repository) -> bool:
        """Whether this repository is among those that it was installed on."""
        if self.deleted or repository.owner is not self.account:
            return False
        return self.selected is None or repository.id in self.selected

    def grants(self, wanted: Mapping[str, str]) -> bool:
        """Whether all these permissions were given."""
        return grants(self.permissions, wanted)


@dataclass(eq=False)
class InstallationRequest:
    """A member who is no owner asks the owners of `account` to install an App."""

    id: int
    app: App
    account: Account
    requester: Account
    created_at: datetime


@dataclass(eq=False)
class Token:
    """An installation access token; `repositories` is None if it was not narrowed to some."""

    value: str = field(repr=False)
    installation: Installation
    permissions: dict[str, str]
    repositories: frozenset[int] | None
    created_at: datetime
    expires_at: datetime
    revoked: bool = False

    def reaches(self, repository: Repository) -> bool:
        """Whether the installation still covers it, and the token was made for it."""
        if not self.installation.covers(repository):
            return False
        return self.repositories is None or repository.id in self.repositories

    def grants(self, permission: str, level: str) -> bool:
        """Whether it has this permission, and its installation still does."""
        wanted = {permission: level}
        return grants(self.permissions, wanted) and self.installation.grants(wanted)


def grants(given: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether `given` holds each wanted permission at its level or a higher one."""
    return all(
        LEVELS.get(given.get(name, ""), 0) >= LEVELS.get(level, 9) for name, level in wanted.items()
    )
