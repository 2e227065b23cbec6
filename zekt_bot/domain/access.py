"""Who may do what: the one place, and what it does not name it denies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from zekt_bot.errors import AccessDenied

if TYPE_CHECKING:
    from zekt_bot.domain.events import RunKey

Action = Literal[
    "repository:read",
    "repository:enable",
    "repository:disable",
    "repository:export",
    "repository:purge",
    "workflow:read",
    "workflow:allow",
    "workflow:disallow",
    "service:read",
    "service:publish",
    "service:edit",
    "service:unpublish",
    "subscription:read",
    "subscription:request",
    "subscription:invite",
    "subscription:accept",
    "subscription:approve",
    "subscription:reject",
    "subscription:decline",
    "subscription:revoke",
    "subscription:withdraw",
    "subscription:end",
    "subscription:pause",
    "subscription:configure",
    "subscription:check",
    "message:read",
    "message:store",
    "message:encrypt",
    "event:read",
    "event:retry",
    "delivery:read",
    "delivery:replay",
    "delivery:confirm",
    "message:fetch",
    "account:read",
    "account:rule",
    "account:erase",
    "account:shield",
    "key:read",
    "key:add",
    "key:remove",
    "sending:pause",
    "audit:read",
    "data:export",
    "status:read",
    "operator:read",
    "operator:remove",
    "server:setup",
    "server:rotate",
]
Side = Literal["provider", "consumer", "anyone", "self"]

# For whom a person may do it: those who manage the provider's or the consumer's repository that it
# is about; `anyone`: everybody, if it is open to them; `self`: whose own account it is. What stands
# not here is an operator's alone.
SIDES: dict[Action, frozenset[Side]] = {
    "repository:read": frozenset({"provider"}),
    "repository:enable": frozenset({"provider"}),
    "repository:disable": frozenset({"provider"}),
    "repository:export": frozenset({"provider"}),
    "repository:purge": frozenset({"provider"}),
    "workflow:read": frozenset({"provider"}),
    "workflow:allow": frozenset({"provider"}),
    "workflow:disallow": frozenset({"provider"}),
    "service:read": frozenset({"provider", "consumer", "anyone"}),
    "service:publish": frozenset({"provider"}),
    "service:edit": frozenset({"provider"}),
    "service:unpublish": frozenset({"provider"}),
    "subscription:read": frozenset({"provider", "consumer"}),
    "subscription:request": frozenset({"consumer"}),
    "subscription:invite": frozenset({"provider"}),
    "subscription:accept": frozenset({"consumer"}),
    "subscription:approve": frozenset({"provider"}),
    "subscription:reject": frozenset({"provider"}),
    "subscription:decline": frozenset({"consumer"}),
    "subscription:revoke": frozenset({"provider"}),
    "subscription:withdraw": frozenset({"provider"}),
    "subscription:end": frozenset({"consumer"}),
    "subscription:pause": frozenset({"consumer"}),
    "subscription:configure": frozenset({"consumer"}),
    "subscription:check": frozenset({"consumer"}),
    "message:read": frozenset({"provider"}),
    "event:read": frozenset({"provider"}),
    "delivery:read": frozenset({"provider", "consumer"}),
    "delivery:replay": frozenset({"provider", "consumer"}),
    "key:read": frozenset({"consumer"}),
    "key:add": frozenset({"consumer"}),
    "key:remove": frozenset({"consumer"}),
    # Not an organization's: to an App that reads metadata alone GitHub does not tell who owns one.
    "account:shield": frozenset({"self"}),
}
# What a workflow run may do for itself.
RUNS_OWN: frozenset[Action] = frozenset({"message:store", "message:encrypt"})


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody with the server's own rights, such as a user of its command line."""

    name: str

    @property
    def actor(self) -> str:
        """The id under which the audit knows this principal."""
        return f"operator:{self.name}"


@dataclass(frozen=True, slots=True)
class Person:
    """A GitHub user, known by GitHub's id; `login` is for people to read."""

    id: int
    login: str

    @property
    def actor(self) -> str:
        """The id under which the audit knows this principal."""
        return f"person:{self.id}"


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """A workflow run that proved who it is.

    `workflow_path` is the file of its repository that runs; None: another repository's.
    """

    key: RunKey
    workflow_path: str | None = None

    @property
    def actor(self) -> str:
        """The id under which the audit knows this principal."""
        return f"run:{self.key.repository_id}"


Principal = Operator | Person | WorkflowRun


@dataclass(frozen=True, slots=True)
class Resource:
    """What an action is about: the repositories at its two ends, a run, or an account by its id.

    `open_to_all`: a service that they may find under the name they know, whoever they are.
    `refuses_replay`: the consumer lets no provider send again what was sent.
    """

    provider: int | None = None
    consumer: int | None = None
    run: RunKey | None = None
    account: int | None = None
    open_to_all: bool = False
    refuses_replay: bool = False


NOTHING = Resource()
NOBODY: frozenset[int] = frozenset()


def decide(
    principal: Principal,
    action: Action,
    resource: Resource = NOTHING,
    manages: frozenset[int] = NOBODY,
) -> None:
    """Return if `principal` may do `action` to `resource`; else raise AccessDenied.

    `manages`: ids of the repositories of which GitHub says, now, that this person is an
    administrator or a maintainer.
    """
    if isinstance(principal, Operator):
        return
    if isinstance(principal, WorkflowRun):
        allowed = _is_its_own(principal, action, resource)
    else:
        sides = _sides(principal, resource, manages)
        if action == "delivery:replay" and resource.refuses_replay:
            sides -= {"provider"}
        allowed = not sides.isdisjoint(SIDES.get(action, ()))
    if not allowed:
        raise AccessDenied(_denial(principal, action))


def _is_its_own(run: WorkflowRun, action: Action, resource: Resource) -> bool:
    """A run speaks for itself, and for its repository about what came to it."""
    if action in RUNS_OWN:
        return resource.run == run.key
    of_its_consumer = action in {"delivery:confirm", "message:fetch"}
    return of_its_consumer and resource.consumer == run.key.repository_id


def _denial(principal: Person | WorkflowRun, action: Action) -> str:
    """Who may not do what, and who may."""
    noun, _, verb = action.partition(":")
    who = principal.login if isinstance(principal, Person) else "A workflow run"
    sides = SIDES.get(action, frozenset())
    ends = sorted(sides - {"anyone", "self"}, reverse=True)
    may = "an operator of this server may"
    if ends:
        may = f"who administers or maintains the {' or '.join(ends)} repository at GitHub may"
    elif "self" in sides:
        may = f"{may}, and of a person's account they themselves"
    return f"{who} may not {verb} this {noun}: {may}."


def _sides(person: Person, resource: Resource, manages: frozenset[int]) -> frozenset[Side]:
    """On which sides of the resource this person stands."""
    sides: set[Side] = set()
    if resource.provider in manages:
        sides.add("provider")
    if resource.consumer in manages:
        sides.add("consumer")
    if resource.account == person.id:
        sides.add("self")
    if resource.open_to_all:
        sides.add("anyone")
    return frozenset(sides)
