"""Who may do what: the one place, and what it does not name it denies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from zekt_bot.errors import AccessDenied

if TYPE_CHECKING:
    from zekt_bot.domain.events import RunKey

Action = Literal[
    "repository:enable",
    "workflow:allow",
    "service:publish",
    "subscription:request",
    "subscription:approve",
    "message:store",
    "events:read",
    "deliveries:read",
]


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody with the server's own rights, such as a user of its command line."""

    name: str

    @property
    def actor(self) -> str:
        """The id under which the audit knows this principal."""
        return f"operator:{self.name}"


@dataclass(frozen=True, slots=True)
class WorkflowRun:
    """A workflow run that proved who it is."""

    key: RunKey

    @property
    def actor(self) -> str:
        """The id under which the audit knows this principal."""
        return f"run:{self.key.repository_id}"


Principal = Operator | WorkflowRun


@dataclass(frozen=True, slots=True)
class RunResource:
    """The run that an action is about."""

    key: RunKey


def decide(principal: Principal, action: Action, resource: RunResource | None = None) -> None:
    """Return if `principal` may do `action` to `resource`; else raise AccessDenied."""
    if isinstance(principal, Operator):
        return
    own_run = resource is not None and resource.key == principal.key
    if action == "message:store" and own_run:
        return
    raise AccessDenied(f"{principal.actor} may not {action.replace(':', ' ')} here.")
