"""What may become of a run whose webhook was missed, and how far nothing is missing.

Who receives a run late must have wanted it when it ended: what was agreed afterwards does not
reach back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from zekt_bot.domain.catalog import AllowedWorkflow, Repository
    from zekt_bot.domain.deliveries import BlockedReason
    from zekt_bot.domain.events import Run
    from zekt_bot.domain.subscriptions import Subscription


HOOK_DELIVERIES, RUNS = "hook_deliveries", "runs"
READ_EVERY = {HOOK_DELIVERIES: timedelta(minutes=5), RUNS: timedelta(hours=1)}
"""GitHub's lists that tell what was missed, and how often each is read."""

_LISTS = {HOOK_DELIVERIES: "GitHub's list of the App's webhooks", RUNS: "GitHub's lists of runs"}
FEW_LEFT = "has few requests left in this hour"
_LATE = 3  # times that a list was not read: one reading may fail, and one take its time
_PATIENCE = timedelta(hours=1)  # with a list that GitHub does not give


class Late(NamedTuple):
    """What people are told of a list that was not read in time.

    `goes_on`: what was missed is being taken in, so that there is nothing to do.
    """

    said: str
    goes_on: bool


@dataclass(frozen=True, slots=True)
class Coverage:
    """Nothing is missing from `no_gap_since` to `covered_to`, as GitHub's list `name` tells it.

    `cursor` is where a pass under way goes on; `problem`: what the last one could not read.
    """

    name: str
    no_gap_since: datetime | None = None
    covered_to: datetime | None = None
    cursor: str | None = None
    checked_at: datetime | None = None
    problem: str | None = None

    def late(self, now: datetime, taken: tuple[int, int] | None) -> Late | None:
        """None: it was read in time. `taken`: of the webhooks that were found missing how many are
        dealt with, and how many they are; None: no process runs.
        """
        if self.covered_to and now - self.covered_to <= _LATE * READ_EVERY[self.name]:
            return None
        if taken and self._goes_on(now):
            return Late(self._going_on(taken), goes_on=True)
        return Late(self._unread(), goes_on=False)

    def _goes_on(self, now: datetime) -> bool:
        """Whether somebody is at it, and nothing but the hour's requests holds it up."""
        noted = self.checked_at and now - self.checked_at <= _LATE * min(READ_EVERY.values())
        return bool(noted) and (self.problem is None or FEW_LEFT in self.problem)

    def _going_on(self, taken: tuple[int, int]) -> str:
        since = f" since {self.covered_to:%Y-%m-%d %H:%M:%SZ}" if self.covered_to else ""
        done, found = taken
        far = f", {done:,} of {found:,}" if found and self.name == HOOK_DELIVERIES else ""
        waits = " It waits for the next hour's requests." if self.problem else ""
        return f"What was missed{since} is being taken in from {_LISTS[self.name]}{far}.{waits}"

    def _unread(self) -> str:
        what = _LISTS[self.name]
        since = f"since {self.covered_to:%Y-%m-%d %H:%M:%SZ}" if self.covered_to else "yet"
        if self.problem:
            return f"Nobody could read {what} {since}: {self.problem.rstrip('.')}."
        return f"Nobody has read {what} {since}."


def whole(lists: Sequence[Coverage]) -> tuple[datetime | None, datetime | None]:
    """Since when nothing is missing, and until when all lists were read; None: not known yet."""
    begun = [each.no_gap_since for each in lists if each.no_gap_since]
    read = [each.covered_to for each in lists if each.covered_to]
    if min(len(begun), len(read)) < len(READ_EVERY):
        return None, None
    since, until = max(begun), min(read)
    return (since if since <= until else None), until


def heard_to(webhooks: Coverage, now: datetime) -> datetime:
    """Until when nothing that GitHub sent is missing; now, where nobody ever found that out."""
    if webhooks.covered_to is None:
        return now
    known = min(now, webhooks.covered_to)
    return max(known, now - _PATIENCE) if webhooks.problem else known


def provides_since(repository: Repository) -> datetime | None:
    """Since when it may be heard as a provider without interruption; None: it may not."""
    return _latest(repository.provider_since, repository.heard_since)


def withheld(
    run: Run, repository: Repository, allowed: AllowedWorkflow | None, max_age: timedelta
) -> BlockedReason | None:
    """Why a run that was read from GitHub is stored and not sent, or None.

    Without an entry in the allow-list the policy has something against it.
    """
    ended = run.facts.completed_at if run.facts else None
    if run.recovered_at is None or ended is None:
        return None
    since = _latest(provides_since(repository), allowed.since if allowed else None)
    if since is None or ended < since:
        return "enabled_later"
    return "too_old" if run.recovered_at - ended > max_age else None


def in_time(held: Subscription, consumer: Repository, run: Run) -> bool:
    """Whether a subscription was approved when this run ended, if the run comes late.

    What ended while it was paused is not made up for; nor is what ended while its consumer was
    blocked, suspended or outside of the installation: on time that would be blocked for good.
    """
    ended = run.facts.completed_at if run.facts else None
    since = _latest(_latest(held.approved_at, held.resumed_at), consumer.heard_since)
    return run.recovered_at is None or ended is None or since is None or since <= ended


def _latest(first: datetime | None, later: datetime | None) -> datetime | None:
    """The later of both, if there is a first one."""
    return max(first, later) if first and later else first
