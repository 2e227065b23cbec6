"""What an account allowed: an installation of the orchestration App and its permissions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from zekt_bot.domain.catalog import InstallationState

# How an account stands; `waits`: it has not accepted a permission that the App asks for.
ConsentState = Literal["active", "waits", "suspended", "removed", "blocked"]
_LEVELS = ("", "read", "write", "admin")
# Without these nothing is heard of a provider, and nothing is sent to a consumer.
_NEEDED = {"provider": ("actions", "read"), "consumer": ("contents", "write")}


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission at two levels (read, write, admin; empty: none): asked for, and granted."""

    name: str
    wanted: str
    granted: str

    @property
    def waits(self) -> bool:
        """Whether less is granted than the App asks for."""
        return _rank(self.granted) < _rank(self.wanted)


@dataclass(frozen=True, slots=True)
class Installation:
    """The orchestration App on an account; `permissions` as (name, level).

    `installed_by` and `suspended_by` are logins, None where GitHub did not tell or they are erased.
    `changed_at`: when it last became otherwise, as when it was removed.
    """

    id: int
    account_id: int
    state: InstallationState
    selection: str
    permissions: Mapping[str, str]
    changed_at: datetime
    installed_at: datetime | None = None
    installed_by: str | None = None
    suspended_at: datetime | None = None
    suspended_by: str | None = None


def _rank(level: str) -> int:
    return _LEVELS.index(level) if level in _LEVELS else 0


def lacking(granted: Mapping[str, str], *, provider: bool, consumer: bool) -> tuple[str, ...]:
    """The permissions without which a repository cannot take part as it is enabled."""
    parts = {"provider": provider, "consumer": consumer}
    needed = [_NEEDED[part] for part, enabled in parts.items() if enabled]
    return tuple(name for name, level in needed if _rank(granted.get(name, "")) < _rank(level))


def compared(wanted: Mapping[str, str], granted: Mapping[str, str]) -> tuple[Permission, ...]:
    """Each permission that is asked for or granted; those asked for first, as they stand there."""
    names = dict.fromkeys([*wanted, *sorted(granted)])
    return tuple(Permission(name, wanted.get(name, ""), granted.get(name, "")) for name in names)


def state_of(
    installation: Installation | None, permissions: Iterable[Permission], *, blocked: bool
) -> ConsentState:
    """How an account stands, what matters most first."""
    if installation is None or installation.state == "deleted":
        return "removed"
    if blocked:
        return "blocked"
    if installation.state == "suspended":
        return "suspended"
    return "waits" if any(each.waits for each in permissions) else "active"
