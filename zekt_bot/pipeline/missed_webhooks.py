"""Webhooks that were sent and not stored: read from GitHub's list of deliveries and taken in.

A pass lists from the newest back to where the last one ended, and takes in from the oldest on, so
that a crash leaves no hole behind what is done, and a run's jobs come before its end.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from zekt_bot.db import coverage
from zekt_bot.domain.recovery import HOOK_DELIVERIES
from zekt_bot.errors import GitHubAnswered, GitHubError, WebhookRefused
from zekt_bot.github import hook_deliveries
from zekt_bot.github.hook_deliveries import Carried
from zekt_bot.pipeline import hook_list
from zekt_bot.pipeline.recovery import SETTLED, few_left, is_few, note
from zekt_bot.pipeline.store import store
from zekt_bot.pipeline.verify import from_api

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from zekt_bot.domain.recovery import Coverage
    from zekt_bot.github.hook_deliveries import HookDelivery
    from zekt_bot.operations.broker import Broker
    from zekt_bot.pipeline.hook_list import Found

_AT_ONCE = 8
_MOST_FAILURES = 3
_NO_SUCH_PLACE = frozenset({400, 404, 422})
_log = structlog.get_logger()


async def recover(broker: Broker, stopped: Callable[[], bool] = lambda: False) -> int:
    """Take in what GitHub sent and the inbox has not; answers how many.

    Only what must be had is asked for: a handled event, of a repository that was enabled then. What
    GitHub does not say is asked for again in the next pass.

    Raises:
        StorageUnavailable.
    """
    if not (await broker.credentials.get("orchestrator")).app_id:
        return 0
    taken, goes_on = 0, True
    while goes_on:
        more, goes_on = await _pass(broker, stopped)
        taken += more
    return taken


async def _pass(broker: Broker, stopped: Callable[[], bool]) -> tuple[int, bool]:
    """Read the list once; how many were taken in, and whether there is a place to go on at."""
    before = await broker.database.query(coverage.of, HOOK_DELIVERIES)
    try:
        found = await hook_list.read(broker, before, stopped)
    except GitHubError as error:
        _log.warning("webhooks.not_listed", error=str(error))
        await _not_listed(broker, error)
        return 0, False
    if found is None:
        return 0, False
    progress = _Progress(_begun(broker, found))
    try:
        ended = await _take_in(broker, progress, found, stopped)
    finally:
        broker.vitals.figures.missed = 0, 0
    if ended and progress.complete and found.whole:
        progress.reach(found.until)
    left = hook_list.places(progress.state, broker.now())
    await note(broker, hook_list.at_places(progress.state, left))
    return progress.taken, bool(ended and progress.complete and left)


async def _not_listed(broker: Broker, error: GitHubError) -> None:
    # With the places of this pass.
    state = await broker.database.query(coverage.of, HOOK_DELIVERIES)
    if isinstance(error, GitHubAnswered) and error.status in _NO_SUCH_PLACE:
        state = replace(state, cursor=None)
    await note(broker, replace(state, problem=str(error)))


def _begun(broker: Broker, found: Found) -> Coverage:
    """GitHub's list reaches back three days at least; what came before that may be lost."""
    before, reach = found.state, broker.now() - SETTLED - hook_deliveries.KEPT
    reached = min(found.oldest, reach) if found.oldest else reach
    unknown = before.covered_to is None or before.no_gap_since is None
    if unknown or (before.covered_to and before.covered_to < reached):
        return replace(before, no_gap_since=reached, problem=None)
    return replace(before, problem=None)


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
    broker: Broker, progress: _Progress, found: Found, stopped: Callable[[], bool]
) -> bool:
    """The oldest first, some at once; how far it got is kept. False: it ended before its time."""
    for start in range(0, len(found.missing), _AT_ONCE):
        if stopped() or progress.failures >= _MOST_FAILURES:
            return False
        some = found.missing[start : start + _AT_ONCE]
        broker.vitals.figures.missed = start, len(found.missing)
        answers = await asyncio.gather(*(_ask(broker, each) for each in some))
        for each, answer in zip(some, answers, strict=True):
            if isinstance(answer, GitHubError):
                progress.failed(answer)
            else:
                progress.had(each, await _store(broker, each, answer))
        await note(broker, progress.state)
        left = [one.share_left for one in answers if isinstance(one, Carried)]
        if left and is_few(min(left)):
            progress.failed(few_left("App"))
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
