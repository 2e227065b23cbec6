"""Who may sign in, how long a session lasts, and where one goes after it began."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta

    from zekt_bot.domain.access import Person

View = Literal["provider", "consumer", "both"]
VIEWS: tuple[View, ...] = get_args(View)
_LONGEST_PATH = 2000


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may sign in: all logins in small letters; with neither list, everybody.

    `accounts`: people who can reach a repository through the App's installation on one of these.
    Who has a listed login is told by id (`names`): GitHub lets others take one that was given up.
    """

    operators: frozenset[str] = frozenset()
    logins: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()

    @property
    def open_to_all(self) -> bool:
        """Whether nobody is kept out."""
        return not self.logins and not self.accounts

    @property
    def listed(self) -> frozenset[str]:
        """Every login that means somebody here."""
        return self.operators | self.logins | self.accounts

    def admits(
        self,
        names: Collection[str],
        *,
        operator: bool,
        reaches: Collection[str] = (),
        blocked: bool = False,
    ) -> bool:
        """Whether a person may sign in who has these listed names, and reaches these accounts.

        Nobody may whose account is `blocked`, operators neither.
        """
        if blocked:
            return False
        if self.open_to_all or operator or self.is_operator(names):
            return True
        return not self.logins.isdisjoint(names) or not self.accounts.isdisjoint(reaches)

    def is_operator(self, names: Collection[str]) -> bool:
        """Whether the settings list a person with these names as an operator."""
        return not self.operators.isdisjoint(names)


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in. `hash` is what the server knows of its cookie.

    `names`: listed logins that are this person's (`Admission`).
    """

    hash: str
    person: Person
    device: str
    started_at: datetime
    seen_at: datetime
    expires_at: datetime
    shown_first: View | None
    operator: bool = False
    names: frozenset[str] = frozenset()

    def lives(self, now: datetime, idle: timedelta) -> bool:
        """Whether it is neither too old nor left alone for too long."""
        return now < self.expires_at and now < self.seen_at + idle


def local_path(text: str) -> str:
    """`text` if it is a path of this server, else `/`: nobody is sent elsewhere after signing in.

    Browsers read `//host` and `/\\host` as another server, and skip control characters.
    """
    is_path = text.startswith("/") and not text.startswith(("//", "/\\"))
    if not is_path or len(text) > _LONGEST_PATH or not text.isascii() or not text.isprintable():
        return "/"
    return text


def device(user_agent: str) -> str:
    """Browser and system that a User-Agent names, such as "Firefox on Linux"; as it says itself."""
    browsers = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome"}
    systems = {
        "Android": "Android",
        "iPhone": "iPhone",
        "iPad": "iPad",
        "Windows": "Windows",
        "Mac OS X": "macOS",
        "CrOS": "ChromeOS",
        "Linux": "Linux",
    }
    fallback = "Safari" if "Safari/" in user_agent else "A browser"
    browser = next((name for mark, name in browsers.items() if mark in user_agent), fallback)
    system = next((name for mark, name in systems.items() if mark in user_agent), "")
    return f"{browser} on {system}" if system else browser
