"""A delivery's states, the outcomes of a POST, and when to try again: data and arithmetic."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from zekt_bot.domain.events import EnvelopeKind, RunFacts, RunState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zekt_bot.domain.catalog import AllowedWorkflow, Repository, Service
    from zekt_bot.domain.subscriptions import Ordered, Subscription

DeliveryState = Literal[
    "pending",
    "retrying",
    "dispatched",
    "confirmed",
    "completed",
    "failed",
    "dead",
    "blocked",
]
BlockedReason = Literal[
    "not_allowed",
    "from_fork",
    "run_event_not_allowed",
    "branch_not_allowed",
    "conclusion_not_allowed",
    "event_type_not_declared",
    "not_encrypted",
    "not_approved",
    "account_blocked",
    "quota",
    "no_access",
    "permission_missing",
    "consent",
    "withdrawn",
    "plugin_failed",
    "enabled_later",
    "too_old",
    "loop",
]
WaitsFor = Literal["pause", "app", "sequence"]
OutcomeKind = Literal["dispatched", "retry", "blocked", "dead", "app_paused"]
_KINDS = frozenset(get_args(OutcomeKind))
_FULL_NAME = re.compile(r"[^/\s]+/[^/\s]+")
_TEXTS = {"request_id": 100, "error": 1000, "renamed_to": 300}  # of an Outcome, and their length

# From a state (None: new) to the states it may move to. What no line names is refused.
TRANSITIONS: dict[DeliveryState | None, frozenset[DeliveryState]] = {
    None: frozenset({"pending", "blocked"}),
    "pending": frozenset(
        {"dispatched", "retrying", "dead", "blocked", "confirmed", "completed", "failed"}
    ),
    "retrying": frozenset(
        {"dispatched", "retrying", "dead", "blocked", "confirmed", "completed", "failed"}
    ),
    "dispatched": frozenset({"confirmed", "completed", "failed", "pending", "dead"}),
    "confirmed": frozenset({"completed", "failed"}),
    "completed": frozenset({"failed"}),
    "failed": frozenset({"completed"}),
    "dead": frozenset({"confirmed", "completed", "failed"}),
    "blocked": frozenset(),
}
STATES: tuple[DeliveryState, ...] = tuple(state for state in TRANSITIONS if state is not None)
SENDABLE: frozenset[DeliveryState] = frozenset({"pending", "retrying"})
FINAL: frozenset[DeliveryState] = frozenset(STATES) - SENDABLE

# Seconds before the 2nd, 3rd … attempt; the last one repeats until GIVE_UP_AFTER has passed.
RETRY_SCHEDULE = (5, 15, 45, 120, 300, 900, 1800, 3600, 7200, 14400, 21600)
GIVE_UP_AFTER = timedelta(hours=96)
_JITTER = 0.2


def is_past(terms: Ordered, state: DeliveryState, waited: timedelta) -> bool:
    """Whether the next of an ordered subscription may go, `waited` after one was dispatched."""
    if state in SENDABLE:
        return False
    if state in {"dead", "blocked"} or (state == "failed" and terms.by == "ended"):
        return not terms.stops
    under_way = state in {"dispatched", "confirmed"}
    return terms.by == "dispatched" or not under_way or waited >= terms.within


def may_move(state: DeliveryState | None, to: DeliveryState) -> bool:
    """Whether the table lets a delivery move from `state` to `to`."""
    return to in TRANSITIONS[state]


def retry_delay(delivery_id: str, attempts: int, age: timedelta) -> timedelta | None:
    """How long to wait after `attempts` failed attempts; None: give up.

    The jitter (± 20 %) follows from the delivery's id and attempt, so the same question has the
    same answer, and deliveries that failed together do not come back together.
    """
    if age >= GIVE_UP_AFTER:
        return None
    base = RETRY_SCHEDULE[min(attempts, len(RETRY_SCHEDULE)) - 1]
    digest = hashlib.sha256(f"{delivery_id}:{attempts}".encode()).digest()
    spread = int.from_bytes(digest[:4], "big") / 0xFFFFFFFF * 2 - 1
    return timedelta(seconds=base * (1 + _JITTER * spread))


@dataclass(frozen=True, slots=True)
class Delivery:
    """One envelope for one cause (a subscription), on its way to one repository."""

    id: str
    envelope_id: str
    cause_kind: str
    cause_id: str
    replay_no: int
    target_repository_id: int
    channel: str
    lane: str
    state: DeliveryState
    attempts: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RunPolicyFacts:
    """What decides whether a finished run may leave its repository.

    `ran` is GitHub's metadata of the run; None: nobody knows it. `over_quota`: its account has had
    its events of this day; never so once the run was let out. `most_hops` bounds a run's `hops`
    when it ends; None: that was decided before.
    """

    repository: Repository
    allowed: AllowedWorkflow | None
    ran: RunFacts | None
    from_fork: bool
    over_quota: bool = False
    most_hops: int | None = None


@dataclass(frozen=True, slots=True)
class EnvelopePolicyFacts:
    """What decides whether an envelope may leave its service.

    `in_clear`: it carries a message that is not encrypted.
    """

    service: Service
    in_clear: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryPolicyFacts:
    """What decides whether a delivery may reach its consumer, read anew before every POST.

    `changed_hands`: one of its ends had another owner when the delivery was made. `withdrawn`:
    an end is disabled, or since it was made took back its consent, be it back by now. `in_clear`:
    it carries a message that is not encrypted.
    """

    run: RunPolicyFacts
    service: Service | None
    subscription: Subscription | None
    provider: Repository
    consumer: Repository
    event_type: str
    changed_hands: bool = False
    withdrawn: bool = False
    in_clear: bool = False


@dataclass(frozen=True, slots=True)
class DispatchRequest:
    """What a channel is asked to send. `body` is compact JSON, complete as it goes out.

    `settings` are the subscription's, as the channel's `check` took them.
    """

    delivery_id: str
    event_type: str
    body: bytes
    repository_id: int
    repository: str
    installation_id: int
    attempt: int
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt.

    `kind` says what follows: `dispatched`; `retry` (at `not_before`, else by the schedule);
    `blocked` and `dead` for good; `app_paused` until the App's credentials work again.
    `closes_lane`: nothing more goes to this lane before `not_before`, which is at most 96 hours
    ahead: what is later is taken for that. `at_most_a_minute`: how
    fast the lane may go for now, if its receiver says so.
    """

    kind: OutcomeKind
    status: int | None = None
    request_id: str | None = None
    error: str | None = None
    not_before: datetime | None = None
    closes_lane: bool = False
    renamed_to: str | None = None
    at_most_a_minute: float | None = None


def check_outcome(outcome: object, now: datetime) -> Outcome:
    """Return what a channel answered, so that every database takes it; no wait is for ever.

    Raises:
        TypeError, ValueError, OverflowError: it is no Outcome, or one of its parts is not what
            it should be.
    """
    if not isinstance(outcome, Outcome):
        raise TypeError(f"an Outcome is wanted, not {type(outcome).__name__}")
    if outcome.kind not in _KINDS:
        raise ValueError("its kind is none of an Outcome's")
    status = outcome.status
    if status is not None and (type(status) is not int or not 100 <= status <= 599):
        raise ValueError("its status is not one of HTTP's")
    when = outcome.not_before
    if when is not None and (not isinstance(when, datetime) or when.utcoffset() is None):
        raise TypeError("not_before is not an aware datetime")
    if outcome.closes_lane and when is None:
        raise ValueError("a lane is closed until not_before, which is missing")
    pace = outcome.at_most_a_minute
    if pace is not None and not (isinstance(pace, int | float) and 0 < pace < math.inf):
        raise ValueError("at_most_a_minute is not a number above 0")
    changed: dict[str, Any] = {
        name: _taken(text, most)
        for name, most in _TEXTS.items()
        if not _is_plain(text := getattr(outcome, name), most)
    }
    if when is not None:
        changed["not_before"] = min(when.astimezone(UTC), now + GIVE_UP_AFTER)
    name = changed.get("renamed_to", outcome.renamed_to)
    if name is not None and not _FULL_NAME.fullmatch(name):
        raise ValueError("renamed_to is not OWNER/NAME")
    return replace(outcome, **changed) if changed else outcome


def _is_plain(text: object, most: int) -> bool:
    return text is None or (type(text) is str and len(text) <= most and text.isprintable())


def _taken(text: object, most: int) -> str:
    """At most so many characters; NUL and halves of characters become `?`."""
    if not isinstance(text, str):
        raise TypeError("request_id, error and renamed_to are texts")
    return text[:most].encode(errors="replace").decode().replace("\0", "?")


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt as a plugin's retry hook sees it.

    `age` is how long its delivery was being sent and waited for its own retries: without the time
    in which its lane was closed, the App had no key, or an operator had it on hold.
    """

    delivery: Delivery
    n: int
    outcome: Outcome
    age: timedelta


__all__ = [
    "FINAL",
    "GIVE_UP_AFTER",
    "RETRY_SCHEDULE",
    "SENDABLE",
    "STATES",
    "TRANSITIONS",
    "Attempt",
    "BlockedReason",
    "Delivery",
    "DeliveryPolicyFacts",
    "DeliveryState",
    "DispatchRequest",
    "EnvelopeKind",
    "EnvelopePolicyFacts",
    "Outcome",
    "OutcomeKind",
    "RunPolicyFacts",
    "RunState",
    "WaitsFor",
    "check_outcome",
    "is_past",
    "may_move",
    "retry_delay",
]
