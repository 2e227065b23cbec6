"""The arithmetic of pace: what is sent to one installation shares one lane."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.domain.subscriptions import Subscription

MOST_A_CLAIM = 8
_MOST_SKEW = timedelta(seconds=10)


def lane_of(held: Subscription | None, consumer: Repository) -> str:
    """What paces this subscription's deliveries: a host's lane, else its installation's."""
    return (held and held.lane) or f"github:{consumer.installation_id or 0}"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a lane may go. `per_minute` 0: as fast as it can."""

    per_minute: int
    burst: int
    in_flight: int


class Bucket(NamedTuple):
    """A lane's tokens, as of `at`."""

    tokens: float
    at: datetime


def refill(bucket: Bucket, now: datetime, pace: Pace) -> Bucket:
    """The tokens at `now`. A clock that went back gives none and takes none.

    Workers' clocks differ a little: time that was counted is not counted again. A clock that was
    set back by more is believed, or the lane would stand still until it has caught up.
    """
    if pace.per_minute == 0:
        return Bucket(float(pace.burst), now)
    elapsed = max(0.0, (now - bucket.at).total_seconds())
    tokens = min(float(pace.burst), bucket.tokens + elapsed * pace.per_minute / 60)
    return Bucket(tokens, max(now, min(bucket.at, now + _MOST_SKEW)))


def spend(bucket: Bucket, taken: int, pace: Pace) -> Bucket:
    """What is left after `taken` were sent."""
    return bucket if pace.per_minute == 0 else Bucket(bucket.tokens - taken, bucket.at)


def next_token_at(bucket: Bucket, pace: Pace) -> datetime:
    """When there is a whole token."""
    if pace.per_minute == 0 or bucket.tokens >= 1:
        return bucket.at
    # Rounded up, and one for the floats: a moment too early, the lane is looked at in vain.
    wait = ceil((1 - bucket.tokens) * 60_000_000 / pace.per_minute) + 1
    return bucket.at + timedelta(microseconds=wait)


def allowance(bucket: Bucket, in_flight: int, pace: Pace) -> int:
    """How many a claim may take from the lane now."""
    tokens = pace.in_flight if pace.per_minute == 0 else int(bucket.tokens)
    return max(0, min(tokens, pace.in_flight - in_flight, MOST_A_CLAIM))


class Look(NamedTuple):
    """A lane after a claim: what is due but was left, and when the next rows are due."""

    left_due: bool
    room: bool
    next_due: datetime | None
    lease_end: datetime | None


def next_ready(look: Look, bucket: Bucket, open_at: datetime | None, pace: Pace) -> datetime | None:
    """When it is worth looking at the lane again; None: when a row becomes due."""
    moments = [moment for moment in (look.next_due, look.lease_end) if moment is not None]
    if look.left_due:
        # Without room the end of a lease is what to wait for; a result wakes the lane before it.
        ready = next_token_at(bucket, pace) if look.room or not moments else min(moments)
    elif moments:
        ready = min(moments)
    else:
        return None
    return max(ready, open_at) if open_at else ready
