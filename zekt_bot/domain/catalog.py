"""What providers publish and consumers subscribe to."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from zekt_bot.domain.events import DEFAULT_EVENT_TYPE
from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from zekt_bot.domain.events import RunFacts

SubscriptionState = Literal["requested", "approved", "rejected", "revoked", "ended"]
InstallationState = Literal["active", "suspended", "deleted"]
RunRefusal = Literal[
    "from_fork", "run_event_not_allowed", "branch_not_allowed", "conclusion_not_allowed"
]
REPOSITORY_DISPATCH = "repository_dispatch"

# Anybody may open a pull request or write a comment.
STRANGERS_EVENTS = frozenset(
    {
        "pull_request",
        "pull_request_target",
        "pull_request_review",
        "pull_request_review_comment",
        "issue_comment",
    }
)
# GitHub's own: https://docs.github.com/rest/checks/runs#update-a-check-run
CONCLUSIONS = (
    "success",
    "failure",
    "neutral",
    "cancelled",
    "skipped",
    "timed_out",
    "action_required",
    "stale",
    "startup_failure",
)

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
class Conditions:
    """Which runs of an allowed workflow may leave their repository.

    `branches` are patterns: `*` is anything but a slash, `**` anything; none: any branch. `events`
    are what started the run; none: every event but those by which strangers start runs.
    """

    branches: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    conclusions: tuple[str, ...] = ("success", "failure")
    forks: bool = False

    def refuse(self, run: RunFacts, *, from_fork: bool) -> RunRefusal | None:
        """Why a finished run may not leave, or None."""
        if from_fork and not self.forks:
            return "from_fork"
        events = self.events or None
        if run.event in STRANGERS_EVENTS if events is None else run.event not in events:
            return "run_event_not_allowed"
        if self.branches and not any(_fits(p, run.head_branch or "") for p in self.branches):
            return "branch_not_allowed"
        return None if run.conclusion in self.conclusions else "conclusion_not_allowed"


@dataclass(frozen=True, slots=True)
class AllowedWorkflow:
    """An entry of a provider's workflow allow-list."""

    repository_id: int
    path: str
    conditions: Conditions = Conditions()


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


def check_conditions(conditions: Conditions) -> Conditions:
    """Return `conditions`, or raise InvalidInput naming what is wrong with them."""
    for pattern in conditions.branches:
        if not 1 <= len(pattern) <= 255 or not pattern.isprintable() or pattern != pattern.strip():
            raise InvalidInput(f"{pattern[:80]!r} is no pattern of branches, such as release/**.")
    for event in conditions.events:
        if not re.fullmatch(r"[a-z_]{1,64}", event):
            raise InvalidInput(f"{event[:80]!r} is no event that starts workflows, such as push.")
    for conclusion in conditions.conclusions:
        if conclusion not in CONCLUSIONS:
            raise InvalidInput(
                f"{conclusion[:80]!r} is no conclusion; GitHub has {', '.join(CONCLUSIONS)}."
            )
    if not conditions.conclusions:
        raise InvalidInput("Without a conclusion no run would ever leave: name at least one.")
    return conditions


def _fits(pattern: str, branch: str) -> bool:
    """Whether a branch fits: GitHub's own patterns, of which `*` and `**` are understood."""
    parts = re.split(r"(\*\*|\*)", pattern)
    known = {"**": ".*", "*": "[^/]*"}
    return re.fullmatch("".join(known.get(p, re.escape(p)) for p in parts), branch) is not None


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
