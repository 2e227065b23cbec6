"""What providers publish and consumers subscribe to."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from zekt_bot.domain.events import DEFAULT_EVENT_TYPE
from zekt_bot.errors import InvalidInput

SubscriptionState = Literal["requested", "approved", "rejected", "revoked", "ended"]
InstallationState = Literal["active", "suspended", "deleted"]
REPOSITORY_DISPATCH = "repository_dispatch"

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}[a-z0-9]")
_FULL_NAME = re.compile(r"([A-Za-z0-9-]{1,100})/([A-Za-z0-9._-]{1,100})")


@dataclass(frozen=True, slots=True)
class Account:
    """A person or an organization at GitHub."""

    id: int
    login: str
    kind: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository in the mirror, with what Zekt may do to it."""

    id: int
    full_name: str
    account_id: int
    installation_id: int | None
    installation_state: InstallationState | None
    archived: bool
    provider: bool
    consumer: bool
    version: int

    @property
    def consented(self) -> bool:
        """Whether the App is installed there and not suspended."""
        return self.installation_id is not None and self.installation_state == "active"


@dataclass(frozen=True, slots=True)
class AllowedWorkflow:
    """An entry of a provider's workflow allow-list."""

    repository_id: int
    path: str
    forks: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A published provider workflow."""

    id: str
    account_id: int
    owner: str
    slug: str
    repository_id: int
    workflow_path: str
    published: bool
    event_types: tuple[str, ...]
    version: int

    def declares(self, event_type: str) -> bool:
        """Whether the service may send this event type."""
        return event_type in self.event_types or "*" in self.event_types


@dataclass(frozen=True, slots=True)
class Subscription:
    """A consumer repository's wish to hear of a service, and the provider's answer."""

    id: str
    service_id: str
    repository_id: int
    channel: str
    state: SubscriptionState
    event_types: tuple[str, ...]
    paused: bool
    version: int

    def accepts(self, event_type: str) -> bool:
        """Whether the consumer agreed to this event type."""
        return event_type in self.event_types or "*" in self.event_types


SUBSCRIPTION_MOVES: dict[SubscriptionState | None, frozenset[SubscriptionState]] = {
    None: frozenset({"requested"}),
    "requested": frozenset({"approved", "rejected"}),
    "approved": frozenset({"revoked", "ended"}),
    "rejected": frozenset({"requested"}),
    "revoked": frozenset({"requested"}),
    "ended": frozenset({"requested"}),
}


def check_slug(slug: str) -> str:
    """Return `slug`, or raise InvalidInput saying what a slug is."""
    if not _SLUG.fullmatch(slug):
        raise InvalidInput(
            f"{slug!r} is no short name of a service. Small letters, digits and hyphens, "
            "2 to 64, no hyphen at an end: release-published."
        )
    return slug


def check_full_name(full_name: str) -> str:
    """Return `OWNER/REPO`, or raise InvalidInput."""
    match = _FULL_NAME.fullmatch(full_name)
    if not match or match.group(2) in {".", ".."}:
        raise InvalidInput(f"{full_name!r} is not a repository: write OWNER/REPO.")
    return full_name


def check_workflow_path(path: str) -> str:
    """Return the path of a workflow without a trailing `@REF`, or raise InvalidInput."""
    path = workflow_path(path)
    if not re.fullmatch(r"\.github/workflows/[^/\x00]{1,200}\.ya?ml", path):
        raise InvalidInput(
            f"{path!r} is not the path of a workflow: write it as GitHub does, "
            ".github/workflows/NAME.yml."
        )
    return path


def check_event_type(event_type: str) -> str:
    """Return `event_type`, or raise InvalidInput: 1 to 100 characters, no control character."""
    controls = any(unicodedata.category(character).startswith("C") for character in event_type)
    if not 1 <= len(event_type) <= 100 or controls or event_type != event_type.strip():
        raise InvalidInput(
            "An event type is 1 to 100 characters, none of them a control character, without "
            f"blanks around it, such as {DEFAULT_EVENT_TYPE}."
        )
    return event_type


def workflow_path(path: str) -> str:
    """A workflow's path without the `@REF` that GitHub sometimes appends."""
    return path.partition("@")[0]
