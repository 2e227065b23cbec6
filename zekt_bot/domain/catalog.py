"""What providers publish and consumers subscribe to."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from zekt_bot.domain.events import DEFAULT_EVENT_TYPE
from zekt_bot.domain.names import check_alias, check_event_type, check_line, is_whole
from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sized
    from datetime import datetime

    from zekt_bot.domain.events import RunFacts

InstallationState = Literal["active", "suspended", "deleted"]
Visibility = Literal["public", "organization", "private"]
Rests = Literal["workflow_gone", "transferred", "alias_taken"]
Obstacle = Literal[
    "account_blocked", "not_installed", "app_suspended", "archived", "permission_missing"
]
RunRefusal = Literal[
    "from_fork", "run_event_not_allowed", "branch_not_allowed", "conclusion_not_allowed"
]
Secrets = Literal["redact", "refuse", "keep"]
VISIBILITIES: tuple[Visibility, ...] = get_args(Visibility)
SECRETS: tuple[Secrets, ...] = get_args(Secrets)
ANY_TYPE = "*"
MOST_NAMED = 100
_STARS = re.compile(r"(\*\*|\*)")

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

_TAG = re.compile(r"[a-z0-9][a-z0-9-]{0,38}")


@dataclass(frozen=True, slots=True)
class Account:
    """A person or an organization at GitHub.

    `verified`: GitHub verified that it has its domain, as it said some time within a day.
    """

    id: int
    login: str
    kind: str
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository in the mirror, with what Zekt may do to it.

    `blocked`: its account is shut out or not admitted. `heard_since`: when it last came back from
    a block, a suspension or outside of the installation; None: it was never away. `unread_since`:
    from when on GitHub gives no list of its runs. `purging`: what is kept of it is being deleted.
    `lapsed_at`: since when consent is gone, as it was found some time afterwards. `withdrawn_at`:
    when GitHub last said that it is gone, be it back by now. `lacks`: permissions that it needs to
    take part, and that its account has not accepted.
    """

    id: int
    full_name: str
    account_id: int
    installation_id: int | None
    installation_state: InstallationState | None
    private: bool
    archived: bool
    provider: bool
    consumer: bool
    blocked: bool
    version: int
    provider_since: datetime | None = None
    consumer_since: datetime | None = None
    heard_since: datetime | None = None
    unread_since: datetime | None = None
    purging: bool = False
    lapsed_at: datetime | None = None
    withdrawn_at: datetime | None = None
    lacks: tuple[str, ...] = ()

    def withdrew_since(self, moment: datetime) -> bool:
        """Whether consent was taken back at GitHub after that, be it back by now."""
        return self.withdrawn_at is not None and self.withdrawn_at > moment

    @property
    def consented(self) -> bool:
        """Whether the App is installed there and not suspended."""
        return self.installation_id is not None and self.installation_state == "active"

    @property
    def obstacle(self) -> Obstacle | None:
        """Why nothing is received from it or sent to it, whatever is agreed; None: nothing is."""
        if self.blocked:
            return "account_blocked"
        if self.installation_id is not None and self.installation_state == "suspended":
            return "app_suspended"
        if not self.consented:
            return "not_installed"
        if self.archived:
            return "archived"
        return "permission_missing" if self.lacks else None


Standing = Obstacle | Literal["purging", "disabled", "provider", "consumer", "both"]


def standing(repository: Repository) -> Standing:
    """How a repository takes part, or what keeps it from it."""
    if repository.purging:
        return "purging"
    if repository.obstacle:
        return repository.obstacle
    if repository.provider:
        return "both" if repository.consumer else "provider"
    return "consumer" if repository.consumer else "disabled"


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
        if self.branches and not any(fits(p, run.head_branch or "") for p in self.branches):
            return "branch_not_allowed"
        return None if run.conclusion in self.conclusions else "conclusion_not_allowed"


@dataclass(frozen=True, slots=True)
class AllowedWorkflow:
    """An entry of a provider's workflow allow-list, which stands there `since` then."""

    repository_id: int
    path: str
    conditions: Conditions = Conditions()
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """How a service shows itself, what it may send and to whom; its owner may change all of it.

    `alias` is shown instead of the owner's login. `visibility`: who may ask for it; `listed`:
    whether the directory names it. `hidden_source`: consumers learn nothing of repository, run and
    people. `approves`: ids of accounts whose requests need no answer. `one_per_type`: a run may
    send one message of each event type. `secrets`: what is done about those in its messages.
    `message_schema`: the JSON Schema (2020-12) that they fit, as text. `shield`: it takes only
    messages that are encrypted for its consumers.
    """

    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    alias: str | None = None
    visibility: Visibility = "public"
    listed: bool = True
    hidden_source: bool = False
    event_types: tuple[str, ...] = (DEFAULT_EVENT_TYPE,)
    approves: tuple[int, ...] = ()
    one_per_type: bool = False
    secrets: Secrets = "redact"
    message_schema: str | None = None
    shield: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A published provider workflow.

    `rests`: why nothing can come of it now, if so. `former_alias`: what a transfer took from it.
    """

    id: str
    account_id: int
    owner: str
    slug: str
    repository_id: int
    workflow_path: str
    published: bool
    rests: Rests | None
    profile: Profile
    version: int
    former_alias: str | None = None

    @property
    def shown_owner(self) -> str:
        """What consumers see before the slug: the alias, else the owner's login.

        Of a hidden source that lost its alias by a transfer it is the former one, by which nobody
        finds it.
        """
        hidden = self.former_alias or "?"
        return self.profile.alias or (hidden if self.profile.hidden_source else self.owner)

    @property
    def name(self) -> str:
        """OWNER/SLUG as consumers write it."""
        return f"{self.shown_owner}/{self.slug}"

    @property
    def open_to_all(self) -> bool:
        """Whether everybody may find it."""
        return self.published and self.profile.visibility == "public"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its owner should think of twice."""
        if ANY_TYPE not in self.profile.event_types:
            return ()
        return (
            "It may send any event type (*): consumers cannot tell beforehand what their "
            "workflows will be started with. Name the types instead.",
        )

    def declares(self, event_type: str) -> bool:
        """Whether the service may send this event type."""
        return event_type in self.profile.event_types or ANY_TYPE in self.profile.event_types

    def may_be_asked_for(self, consumer: Repository) -> bool:
        """Whether this repository may request it; an invitation needs no such permission."""
        if self.profile.visibility == "organization":
            return consumer.account_id == self.account_id
        return self.profile.visibility == "public"


def check_conditions(conditions: Conditions) -> Conditions:
    """Return `conditions`, or raise InvalidInput naming what is wrong with them."""
    check_number("branches", conditions.branches)
    check_number("events", conditions.events)
    check_number("conclusions", conditions.conclusions)
    for pattern in conditions.branches:
        check_branch_pattern(pattern)
    for event in conditions.events:
        if not re.fullmatch(r"[a-z_]{1,64}", event):
            raise InvalidInput(f"{event[:80]!r} is no event that starts workflows, such as push.")
    for conclusion in conditions.conclusions:
        check_conclusion(conclusion)
    if not conditions.conclusions:
        raise InvalidInput("Without a conclusion no run would ever leave: name at least one.")
    return conditions


def check_number(what: str, named: Sized) -> None:
    """Return if so many may be named: each event is compared with all of them."""
    if len(named) > MOST_NAMED:
        raise InvalidInput(f"At most {MOST_NAMED} {what} can be named.")


def check_branch_pattern(pattern: str) -> str:
    """Return `pattern`, or raise InvalidInput."""
    if not 1 <= len(pattern) <= 255 or not pattern.isprintable() or pattern != pattern.strip():
        raise InvalidInput(f"{pattern[:80]!r} is no pattern of branches, such as release/**.")
    return pattern


def check_conclusion(conclusion: str) -> str:
    """Return `conclusion`, or raise InvalidInput naming GitHub's."""
    if conclusion not in CONCLUSIONS:
        raise InvalidInput(
            f"{conclusion[:80]!r} is no conclusion; GitHub has {', '.join(CONCLUSIONS)}."
        )
    return conclusion


def fits(pattern: str, branch: str) -> bool:
    """Whether a branch fits: GitHub's own patterns, of which `*` and `**` are understood.

    Each bit says whether so many of the pattern's characters may be behind us: no pattern takes
    long, whoever sets it, and none is kept.
    """
    if "*" not in pattern:
        return pattern == branch
    if len(pattern) - pattern.count("*") > len(branch):
        return False
    behind, stays, stays_at_slash = 0, 0, 0
    takes: dict[str, int] = {}
    for part in _STARS.split(pattern):
        if part in {"*", "**"}:
            stays |= 1 << behind
            stays_at_slash |= (part == "**") << behind
            continue
        for each in part:
            takes[each] = takes.get(each, 0) | 1 << behind
            behind += 1
    at = 1
    for each in branch:
        kept = stays_at_slash if each == "/" else stays
        at = (at & takes.get(each, 0)) << 1 | at & kept
        if not at:
            return False
    return bool(at >> behind)


def check_profile(profile: Profile) -> Profile:
    """Return `profile` with each word once, or raise InvalidInput naming what is wrong with it."""
    check_line("title", profile.title, 100)
    if len(profile.description) > 10_000 or not is_whole(profile.description):
        raise InvalidInput(
            "A description is Markdown of at most 10,000 characters of UTF-8, without NUL."
        )
    if len(profile.tags) > 20 or not all(_TAG.fullmatch(tag) for tag in profile.tags):
        raise InvalidInput(
            "Tags are at most 20 words of small letters, digits and hyphens, such as release."
        )
    if profile.alias is not None:
        check_alias(profile.alias)
    if profile.visibility not in VISIBILITIES:
        raise InvalidInput(f"A service is visible to {', '.join(VISIBILITIES)}.")
    if profile.secrets not in SECRETS:
        raise InvalidInput(f"Secrets in messages: {', '.join(SECRETS)}.")
    if profile.hidden_source and profile.alias is None:
        raise InvalidInput(
            "A hidden source needs an alias: without one the owner's login would be shown."
        )
    if not profile.event_types:
        raise InvalidInput("Without an event type the service could send nothing: name one.")
    check_number("event types", profile.event_types)
    for event_type in profile.event_types:
        if event_type != ANY_TYPE:
            check_event_type(event_type)
    return replace(
        profile,
        tags=tuple(dict.fromkeys(profile.tags)),
        event_types=tuple(dict.fromkeys(profile.event_types)),
        approves=tuple(dict.fromkeys(profile.approves)),
    )
