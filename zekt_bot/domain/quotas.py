"""How much an account may have: in a day of UTC, and of subscriptions at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta


@dataclass(frozen=True, slots=True)
class Quota:
    """Most events, messages and bytes of messages a day, and most subscriptions; 0: any number."""

    events: int = 0
    messages: int = 0
    bytes: int = 0
    subscriptions: int = 0


@dataclass(frozen=True, slots=True)
class Used:
    """What an account has had on a day."""

    events: int = 0
    messages: int = 0
    bytes: int = 0

    def leaves(self, quota: Quota, more: Used) -> bool:
        """Whether there is room for `more`."""
        return all(
            not (most and wanted) or used + wanted <= most
            for most, used, wanted in (
                (quota.events, self.events, more.events),
                (quota.messages, self.messages, more.messages),
                (quota.bytes, self.bytes, more.bytes),
            )
        )


def day_of(now: datetime) -> str:
    """The day that is counted: `2026-11-27`, in UTC."""
    return now.astimezone(UTC).date().isoformat()


def seconds_left(now: datetime) -> int:
    """Until the next day begins, at least 1."""
    midnight = datetime.combine(now.astimezone(UTC).date(), time(), UTC) + timedelta(days=1)
    return max(1, int((midnight - now).total_seconds()))
