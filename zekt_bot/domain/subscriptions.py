"""A consumer's wish to hear of a service: its states, what it lets through, and two consents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, get_args

from zekt_bot.domain.catalog import (
    ANY_TYPE,
    check_branch_pattern,
    check_conclusion,
    check_number,
    fits,
)
from zekt_bot.domain.names import check_event_type, is_whole
from zekt_bot.errors import InvalidInput

if TYPE_CHECKING:
    from datetime import datetime

    from zekt_bot.domain.events import RunFacts

SubscriptionState = Literal["requested", "invited", "approved", "rejected", "revoked", "ended"]
REPOSITORY_DISPATCH = "repository_dispatch"

# What ends it; the other side may read why.
Ending = Literal["reject", "decline", "revoke", "withdraw", "end"]
Verb = Literal["request", "invite", "accept", "approve", "expire"] | Ending
OVER: frozenset[SubscriptionState] = frozenset({"rejected", "revoked", "ended"})
_OPEN_TO_ASK: frozenset[SubscriptionState | None] = OVER | {None}

# What people do: from which states (None: new) to which one. What no line names is refused.
SUBSCRIPTION_MOVES: dict[Verb, tuple[frozenset[SubscriptionState | None], SubscriptionState]] = {
    "request": (_OPEN_TO_ASK, "requested"),
    "invite": (_OPEN_TO_ASK, "invited"),
    "accept": (frozenset({"invited"}), "approved"),
    "approve": (frozenset({"requested"}), "approved"),
    "reject": (frozenset({"requested"}), "rejected"),
    "decline": (frozenset({"invited"}), "rejected"),
    "revoke": (frozenset({"approved"}), "revoked"),
    "withdraw": (frozenset({"invited"}), "ended"),
    "end": (frozenset({"requested", "approved"}), "ended"),
    "expire": (frozenset({"requested", "invited"}), "ended"),
}
MOST_WORDS = 500
MOST_SENDS = 20
STATES: tuple[SubscriptionState, ...] = get_args(SubscriptionState)
ALIVE = tuple(state for state in STATES if state not in OVER)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a consumer wants of what it may hear; an empty list lets everything through.

    `branches` are patterns as in the allow-list.
    """

    event_types: tuple[str, ...] = ()
    conclusions: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()

    def keep(self, event_type: str, run: RunFacts | None) -> bool:
        """Whether an event of this type, of this run, is wanted."""
        if self.event_types and event_type not in self.event_types:
            return False
        if run is None:
            return not (self.conclusions or self.branches)
        if self.conclusions and run.conclusion not in self.conclusions:
            return False
        return not self.branches or any(fits(p, run.head_branch or "") for p in self.branches)


@dataclass(frozen=True, slots=True)
class Durable:
    """What no run of the consumer confirms within `after` is sent again, `sends` times in all."""

    after: timedelta = timedelta(minutes=10)
    sends: int = 3


OrderedBy = Literal["dispatched", "ended"]


@dataclass(frozen=True, slots=True)
class Ordered:
    """The next delivery is sent after the former was dispatched, or after its run has ended.

    A run is waited for `within` that time. One that failed, died or was blocked is passed over, or
    (`stops`) nothing follows it.
    """

    by: OrderedBy = "dispatched"
    within: timedelta = timedelta(hours=6)
    stops: bool = False


@dataclass(frozen=True, slots=True)
class Subscription:
    """A consumer repository's wish to hear of a service, and the provider's answer.

    `event_types` are those that the consumer accepted. `lane`: what its deliveries are paced with,
    None for what goes through GitHub.
    """

    id: str
    service_id: str
    repository_id: int
    channel: str
    state: SubscriptionState
    event_types: tuple[str, ...]
    filters: Filters
    paused: bool
    lane: str | None
    version: int
    approved_at: datetime | None = None
    resumed_at: datetime | None = None
    durable: Durable | None = None
    ordered: Ordered | None = None

    def accepts(self, event_type: str) -> bool:
        """Whether the consumer accepted this event type."""
        return event_type in self.event_types or ANY_TYPE in self.event_types

    def wants(self, event_type: str, run: RunFacts | None) -> bool:
        """Whether this event makes a delivery: accepted, wanted, and neither ended nor paused.

        Who is not approved sees that there was one: if filters would tell of its run, none is made.
        """
        resting, told = self.state == "ended" or self.paused, self.state == "approved"
        wanted = self.filters.keep(event_type, run if told else None)
        return self.accepts(event_type) and not resting and wanted


@dataclass(frozen=True, slots=True)
class Audience:
    """So many subscriptions of a service that accept and want the same."""

    service_id: str
    event_types: tuple[str, ...]
    filters: Filters
    number: int

    def may_hear(self, event_type: str) -> bool:
        """Whether they get this event type, if the run fits their filters."""
        accepted = event_type in self.event_types or ANY_TYPE in self.event_types
        return accepted and event_type in (self.filters.event_types or (event_type,))


def check_filters(filters: Filters) -> Filters:
    """Return `filters`, or raise InvalidInput naming what is wrong with them."""
    check_number("event types", filters.event_types)
    check_number("conclusions", filters.conclusions)
    check_number("branches", filters.branches)
    for event_type in filters.event_types:
        check_event_type(event_type)
    for conclusion in filters.conclusions:
        check_conclusion(conclusion)
    for pattern in filters.branches:
        check_branch_pattern(pattern)
    return filters


def check_durable(durable: Durable) -> Durable:
    """Return `durable`, or raise InvalidInput naming its bounds."""
    if not timedelta(minutes=1) <= durable.after <= timedelta(days=7):
        raise InvalidInput("The time to wait for a run is a minute to seven days.")
    if not 1 <= durable.sends <= MOST_SENDS:
        raise InvalidInput(f"It is sent 1 to {MOST_SENDS} times in all.")
    return durable


def check_ordered(ordered: Ordered) -> Ordered:
    """Return `ordered`, or raise InvalidInput naming its bounds."""
    if not timedelta(minutes=1) <= ordered.within <= timedelta(days=7):
        raise InvalidInput("A run is waited for a minute to seven days.")
    return ordered


def check_words(words: str) -> str:
    """Return `words` without blanks around them, or raise InvalidInput."""
    words = words.strip()
    if len(words) > MOST_WORDS or not is_whole(words):
        raise InvalidInput(f"Say it in at most {MOST_WORDS} characters of UTF-8, without NUL.")
    return words
