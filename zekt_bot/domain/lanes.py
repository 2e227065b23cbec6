"""The arithmetic of pace: what is sent to one installation shares one lane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.domain.subscriptions import Subscription

MOST_A_CLAIM = 8
MOST_SKEW = timedelta(seconds=10)
_STEP, _EVERY = 10.0, timedelta(minutes=1)
_LEAST = 5.0  # a minute: slower, and nobody would find out that the limit is gone
AT_ONCE = 100  # deliveries of one event
_SPREAD, _A_SPREAD = timedelta(milliseconds=100), 25


def lane_of(held: Subscription | None, consumer: Repository) -> str:
    """What paces this subscription's deliveries: a host's lane, else its installation's."""
    return (held and held.lane) or lane_of_installation(consumer.installation_id or 0)


def lane_of_installation(installation_id: int) -> str:
    """In which what GitHub is sent with the tokens of an installation is paced."""
    return f"github:{installation_id}"


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a lane may go. `per_minute` 0: as fast as it can.

    `most`: as long as it meets no limit, a lane is quickened to so many a minute.
    """

    per_minute: float
    burst: int
    in_flight: int
    most: float = 0


class Tempo(NamedTuple):
    """What a lane has learned of its receiver: so many a minute, since `at`."""

    per_minute: float
    at: datetime


def paced(pace: Pace, tempo: Tempo | None) -> Pace:
    """The pace that a lane has by now."""
    if pace.per_minute == 0 or tempo is None:
        return pace
    return replace(pace, per_minute=min(tempo.per_minute, max(pace.per_minute, pace.most)))


def quickened(tempo: Tempo | None, now: datetime, pace: Pace) -> Tempo:
    """After a claim that left rows behind: ten more a minute each minute that met no limit."""
    if tempo is None:
        return Tempo(pace.per_minute, now)
    if tempo.at > now + MOST_SKEW:  # the clock was ahead: an open lane learned nothing later
        return Tempo(tempo.per_minute, now)
    if now - tempo.at < _EVERY:
        return tempo
    return Tempo(min(tempo.per_minute + _STEP, max(pace.per_minute, pace.most)), now)


def slowed(tempo: Tempo, at: datetime, at_most: float | None) -> Tempo:
    """After a limit, half as fast; or `at_most` so many a minute, if the receiver says that."""
    slower = tempo.per_minute / 2 if at_most is None else at_most
    if slower >= tempo.per_minute:
        return tempo
    return Tempo(max(slower, min(_LEAST, tempo.per_minute)), at)


def spread(number: int) -> timedelta:
    """How long after it is made the delivery of this number, from 0, of an event is due.

    The first hundred at once, then 250 a second: an event for thousands of lanes leaves room for
    the events of others.
    """
    return max(0, (number - AT_ONCE) // _A_SPREAD + 1) * _SPREAD


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
    return Bucket(tokens, max(now, min(bucket.at, now + MOST_SKEW)))


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
