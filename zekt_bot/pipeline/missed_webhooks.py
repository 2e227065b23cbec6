"""Webhooks that were sent and not stored: read from GitHub's list of deliveries and taken in.

A pass lists from the newest back to where the last one ended, and takes in from the oldest on, so
that a crash leaves no hole behind what is done, and a run's jobs come before its end.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from zekt_bot.db import chores, coverage, inbox, mirror
from zekt_bot.domain.recovery import provides_since
from zekt_bot.errors import GitHubAnswered, GitHubError, WebhookRefused
from zekt_bot.github import hook_deliveries
from zekt_bot.github.hook_deliveries import Carried
from zekt_bot.pipeline.store import store
from zekt_bot.pipeline.verify import HANDLED, from_api

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.domain.catalog import Repository
    from zekt_bot.domain.recovery import Coverage
    from zekt_bot.github.hook_deliveries import HookDelivery
    from zekt_bot.operations.broker import Broker

NAME = coverage.HOOK_DELIVERIES
CHORE, EVERY = "recovery", timedelta(minutes=5)
SETTLED = timedelta(minutes=1)  # what came a moment ago may be on its way into the inbox
_OVERLAP = timedelta(minutes=15)  # GitHub's list may show a delivery late
_MOST = 20_000  # of the oldest, in a pass
_AT_ONCE = 8
_MOST_FAILURES = 3
_KEEP = 0.5  # of the App's requests in an hour, for whoever mints tokens
_FEW_LEFT = "the App has few requests left in this hour"
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Found:
    """What is missing, the oldest first. `oldest`: where the list ended. `whole`: it is all."""

    missing: Sequence[HookDelivery]
    oldest: datetime | None
    whole: bool


async def recover(broker: Broker, stopped: Callable[[], bool] = lambda: False) -> int:
    """Take in what GitHub sent and the inbox has not; answers how many.

    Only what must be had is asked for: a handled event, of a repository that was enabled then. What
    GitHub does not say is asked for again in the next pass.

    Raises:
        StorageUnavailable.
    """
    if not (await broker.credentials.get("orchestrator")).app_id:
        return 0
    before = await broker.database.query(coverage.of, NAME)
    until = broker.now() - SETTLED
    try:
        found = await _list(broker, before.covered_to, until)
    except GitHubError as error:
        _log.warning("webhooks.not_listed", error=str(error))
        await _note(broker, replace(before, problem=str(error)))
        return 0
    since = _no_gap_since(before, found, until)
    progress = _Progress(replace(before, no_gap_since=since, problem=None))
    ended = await _take_in(broker, progress, found, stopped)
    if ended and progress.complete and found.whole:
        progress.reach(until)
    await _note(broker, progress.state)
    return progress.taken


def _no_gap_since(before: Coverage, found: _Found, until: datetime) -> datetime:
    """GitHub's list reaches back three days at least; what came before that may be lost."""
    reach = until - hook_deliveries.KEPT
    reached = min(found.oldest, reach) if found.oldest else reach
    if before.covered_to is None or before.no_gap_since is None or before.covered_to < reached:
        return reached
    return before.no_gap_since


async def _list(broker: Broker, since: datetime | None, until: datetime) -> _Found:
    """By GUID, so that of an event's attempts the first one counts."""
    missing: dict[str, HookDelivery] = {}
    oldest, cursor, whole = None, None, True
    while True:
        page = await hook_deliveries.page(broker.github, cursor)
        wanted = [each for each in page.deliveries if each.delivered_at <= until]
        for each in await broker.database.query(_missing, wanted):
            missing[each.guid] = each
        while len(missing) > _MOST:  # the newest are left to the next pass
            del missing[next(iter(missing))]
            whole = False
        oldest = page.deliveries[-1].delivered_at if page.deliveries else oldest
        if page.cursor is None or (since and oldest and oldest < since - _OVERLAP):
            in_order = sorted(missing.values(), key=lambda each: (each.delivered_at, each.id))
            return _Found(in_order, oldest, whole)
        if page.share_left < _KEEP:
            raise GitHubAnswered(200, _FEW_LEFT)
        cursor = page.cursor


def _missing(connection: Connection, listed: Sequence[HookDelivery]) -> list[HookDelivery]:
    """Those to ask for, as the list alone tells."""
    handled = [each for each in listed if each.event in HANDLED]
    about = {each.repository_id for each in handled if each.repository_id is not None}
    known = mirror.repositories_by_id(connection, about)
    wanted = [each for each in handled if _is_wanted(each, known.get(each.repository_id or 0))]
    there = inbox.known(connection, "orchestrator", {each.guid for each in wanted})
    return [each for each in wanted if each.guid not in there]


def _is_wanted(each: HookDelivery, repository: Repository | None) -> bool:
    """Whether `store` would take it: news of installations, or of what was enabled by then."""
    if each.repository_id is None:
        return True
    if repository is None or repository.blocked:
        return False
    if each.event == "repository":
        return True
    provides = provides_since(repository)
    if provides is not None and provides <= each.delivered_at:
        return True
    # Most runs of a consumer were answered and not stored: not all of them are asked for.
    since = repository.consumer_since
    proves = each.event == "workflow_run" and not each.answered
    return proves and since is not None and since <= each.delivered_at


@dataclass(slots=True)
class _Progress:
    """How far a pass has come. `failures`: how many in a row GitHub did not give."""

    state: Coverage
    taken: int = 0
    failures: int = 0
    complete: bool = True

    def failed(self, error: GitHubError) -> None:
        """One is missing still, and so is what comes after it."""
        self.failures += 1
        self.complete = False
        self.state = replace(self.state, problem=str(error))

    def had(self, each: HookDelivery, stored: bool | None) -> None:
        """One is dealt with; None: GitHub has it no longer."""
        self.failures = 0
        self.taken += bool(stored)
        if stored is None:
            self.state = replace(self.state, no_gap_since=each.delivered_at)
        if self.complete:
            self.reach(each.delivered_at)

    def reach(self, moment: datetime) -> None:
        """Nothing is missing until then."""
        former = self.state.covered_to
        self.state = replace(self.state, covered_to=max(former, moment) if former else moment)


async def _take_in(
    broker: Broker, progress: _Progress, found: _Found, stopped: Callable[[], bool]
) -> bool:
    """The oldest first, some at once; how far it got is kept. False: it ended before its time."""
    for start in range(0, len(found.missing), _AT_ONCE):
        if stopped() or progress.failures >= _MOST_FAILURES:
            return False
        some = found.missing[start : start + _AT_ONCE]
        answers = await asyncio.gather(*(_ask(broker, each) for each in some))
        for each, answer in zip(some, answers, strict=True):
            if isinstance(answer, GitHubError):
                progress.failed(answer)
            else:
                progress.had(each, await _store(broker, each, answer))
        await _note(broker, progress.state)
        left = [one.share_left for one in answers if isinstance(one, Carried)]
        if left and min(left) < _KEEP:
            progress.failed(GitHubAnswered(200, _FEW_LEFT))
            return False
    return True


async def _ask(broker: Broker, each: HookDelivery) -> Carried | GitHubError:
    try:
        return await hook_deliveries.carried(broker.github, each.id)
    except GitHubError as error:
        return error


async def _store(broker: Broker, each: HookDelivery, found: Carried) -> bool | None:
    """Whether it is new; None: there is nothing to store."""
    try:
        if found.payload is None:
            raise WebhookRefused(400, "GitHub does not give its payload.")
        webhook = from_api("orchestrator", each.guid, each.event, found.payload)
    except WebhookRefused as error:
        _log.warning("webhook.lost", delivery=each.guid, reason=str(error))
        return None
    receipt = await store(broker, webhook)
    new = not receipt.duplicate and receipt.ignored is None
    _log.info(
        "webhook.recovered" if new else "webhook.not_recovered",
        delivery=each.guid,
        github_event=each.event,
        delivered_at=each.delivered_at.isoformat(),
        ignored=receipt.ignored,
    )
    return new


async def _note(broker: Broker, state: Coverage) -> None:
    """Keep how far it is, and let no other process begin meanwhile."""
    now = broker.now()
    await broker.database.write(coverage.save, replace(state, checked_at=now))
    await broker.database.write(chores.put_off, (CHORE, now + EVERY))
