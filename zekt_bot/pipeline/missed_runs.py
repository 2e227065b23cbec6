"""Runs that ended and of which no webhook was stored: GitHub's lists of runs against ours.

For outages longer than GitHub keeps its deliveries, and for what GitHub never sent. A run that is
found is stored as the webhook that would have told of it, its jobs before it. A repository that
could not be compared is the gap, by name (`unread_since`), and holds up no other.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.db import coverage, inbox, mirror, runs
from zekt_bot.domain.recovery import FEW_LEFT, READ_EVERY, RUNS, provides_since
from zekt_bot.errors import (
    GitHubAnswered,
    GitHubError,
    InstallationGone,
    InstallationSuspended,
    MalformedEvent,
    WebhookRefused,
)
from zekt_bot.github import workflow_runs
from zekt_bot.github.http import Answer
from zekt_bot.github.workflow_runs import MOST_PAGES, PAGE, Search
from zekt_bot.operations import fields
from zekt_bot.operations.workflows import told_by_github
from zekt_bot.pipeline.recovery import SETTLED, few_left, is_few, note
from zekt_bot.pipeline.store import CONSUMER_RUNS, store
from zekt_bot.pipeline.verify import from_api

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from zekt_bot.domain.catalog import Repository
    from zekt_bot.domain.recovery import Coverage
    from zekt_bot.github.workflow_runs import Listed
    from zekt_bot.operations.broker import Broker

EVERY = READ_EVERY[RUNS]
_BEFORE = timedelta(hours=6)  # GitHub lists by creation: a job takes six hours at most
_LONGEST = timedelta(days=35)  # that a run may take
_REPOSITORIES = 50
_MOST_OPEN = 20  # of a repository in a pass
_MOST_ATTEMPTS = 10  # of a run
_MOST_SEEN = 20_000
_MOST_SILENT = 3  # repositories in a row of which GitHub says nothing
_SERVER_ERROR = 500
_LEFT_OUT = f"an installation {FEW_LEFT}"
_NO_LONGER_SHOWN = frozenset({403, 404, 410, 451})
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Seen:
    """A page as it was when it was compared; `oldest`: when its last run was created."""

    tag: str | None
    full: bool
    oldest: datetime | None


class MissedRuns:
    """One process's comparisons: it knows what GitHub's pages looked like, so that an unchanged
    one costs no request.
    """

    def __init__(self, broker: Broker) -> None:
        """Nothing is asked yet."""
        self._broker = broker
        self._seen: OrderedDict[tuple[int, str], _Seen] = OrderedDict()
        self._left_out: set[int | None] = set()  # installations, in this pass
        self._taken, self._silent, self._answered = 0, 0, False

    async def recover(
        self, stopped: Callable[[], bool] = lambda: False, every: timedelta = EVERY
    ) -> int:
        """Compare every enabled repository, unless it was done less than `every` ago; answers how
        many runs were missing.

        Raises:
            StorageUnavailable.
        """
        now = self._broker.now()
        state = await self._broker.database.query(coverage.of, RUNS)
        if state.cursor is None and state.checked_at and now - state.checked_at < every:
            return 0
        if state.cursor is None:
            self._left_out.clear()
        self._taken, self._silent, self._answered = 0, 0, False
        under_way = _resume(state, now)
        begun_at = under_way.after
        if begun_at == 0:
            state = replace(state, problem=None)
        since = state.covered_to or now - self._broker.settings.recover_max_age
        while page := await self._broker.database.query(
            mirror.enabled, under_way.after, _REPOSITORIES
        ):
            done, problem = await self._compare_all(page, since, stopped)
            if stopped():
                return self._taken
            under_way = _Pass(done, under_way.began)
            state = replace(state, problem=problem or state.problem, cursor=str(under_way))
            await note(self._broker, state)
            if self._silent >= _MOST_SILENT:
                return self._taken
        if self._silent and not self._answered and begun_at == 0:
            under_way = _Pass(0, under_way.began)  # GitHub is away: soon again
            await note(self._broker, replace(state, cursor=str(under_way)))
        else:
            await note(self._broker, _ended_pass(state, under_way, since))
        return self._taken

    async def _compare_all(
        self, page: Sequence[Repository], since: datetime, stopped: Callable[[], bool]
    ) -> tuple[int, str | None]:
        """The last one that was tried, and why some could not be compared."""
        problem, unread = None, dict[int, datetime | None]()
        done = page[-1].id
        for repository in page:
            if stopped():
                break
            if repository.blocked:
                continue
            error = await self._try(repository, since)
            if error is None and repository.unread_since:
                unread[repository.id] = None
            if error is not None and repository.unread_since is None:
                unread[repository.id] = since
            if error is not None and not _is_no_longer_shown(error):
                problem = str(error)
            if self._silent >= _MOST_SILENT:
                done = repository.id
                break
        write = self._broker.database.write
        await asyncio.gather(*(write(mirror.set_unread, each) for each in unread.items()))
        return done, problem

    async def _try(self, repository: Repository, since: datetime) -> GitHubError | None:
        """Compare it; answers why that could not be done. Those of an installation share its limit:
        when it is used up nobody asks for them again in this pass.
        """
        if repository.installation_id in self._left_out:
            return GitHubError(_LEFT_OUT)
        try:
            await self._compare(repository, since)
        except GitHubError as error:
            if not _is_no_longer_shown(error):
                _log.warning("runs.unknown", repository_id=repository.id, error=str(error))
            if _is_silence(error):
                self._silent += 1
                return error
            if _is_limit(error):
                self._left_out.add(repository.installation_id)
            self._silent, self._answered = 0, True
            return error
        self._silent, self._answered = 0, True
        return None

    async def _compare(self, repository: Repository, since: datetime) -> None:
        longest = self._broker.now() - _LONGEST
        since = max(min(since, repository.unread_since or since), longest)
        start = max(since, _enabled_at(repository)) - _BEFORE
        for event in (None,) if repository.provider else sorted(CONSUMER_RUNS):
            await self._search(repository, Search(start, event=event))
        await self._ask_for_open(repository, start)

    async def _search(self, repository: Repository, search: Search) -> None:
        """All pages of a search; GitHub gives 1,000 of one, older ones are searched for anew."""
        while True:
            for number in range(1, MOST_PAGES + 1):
                last = await self._page(repository, search, number)
                if not last.full:
                    return
            if last.oldest is None or last.oldest == search.until:
                _log.warning("runs.too_many", repository_id=repository.id)  # 1,000 in a second
                return
            search = replace(search, until=last.oldest)

    async def _page(self, repository: Repository, search: Search, number: int) -> _Seen:
        key = (repository.id, search.query(number))
        seen = self._seen.get(key)
        known = seen.tag if seen else None
        listed = await workflow_runs.page(self._broker.github, repository, search, number, known)
        if listed is None:
            return seen or _Seen(None, full=False, oldest=None)
        settled = [row for row in listed.rows if self._is_settled(row)]
        missing = await self._missing(repository, settled)
        few = is_few(listed.share_left)
        if not (few and missing):
            await self._store_all(repository, missing, {_key(row): row for row in settled})
        oldest = _moment(listed.rows[-1], "created_at") if listed.rows else None
        seen = _Seen(listed.tag, len(listed.rows) == PAGE, oldest)
        if len(settled) == len(listed.rows) and not (few and missing):
            self._remember(key, seen)
        if few:
            raise few_left("installation")
        return seen

    def _is_settled(self, row: Mapping[str, Any]) -> bool:
        """What ended a moment ago may be on its way into the inbox."""
        moved = _moment(row, "updated_at")
        return moved is None or moved <= self._broker.now() - SETTLED

    def _remember(self, key: tuple[int, str], seen: _Seen) -> None:
        self._seen[key] = seen
        self._seen.move_to_end(key)
        while len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)

    async def _missing(
        self, repository: Repository, rows: Sequence[Mapping[str, Any]]
    ) -> list[tuple[int, int]]:
        """Those of a page that ended and of which nobody told, the oldest first."""
        ended = [key for row in reversed(rows) for key in _ended(row, _enabled_at(repository))]
        ids = {run_id for run_id, _ in ended}
        known = await self._broker.database.query(runs.ended, repository.id, ids)
        return await self._not_waiting(repository, [key for key in ended if key not in known])

    async def _not_waiting(
        self, repository: Repository, keys: Sequence[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """Without those that wait in the inbox."""
        if not keys:
            return []
        asked = {_guid(repository, key): key for key in keys}
        there = await self._broker.database.query(inbox.known, "orchestrator", asked)
        return [key for guid, key in asked.items() if guid not in there]

    async def _ask_for_open(self, repository: Repository, start: datetime) -> None:
        """Runs that began before what is listed, and whose end nobody told."""
        window = (self._broker.now() - _LONGEST, start, _MOST_OPEN)
        still = await self._broker.database.query(runs.still_open, repository.id, *window)
        await self._store_all(repository, await self._not_waiting(repository, still), {})

    async def _store_all(
        self,
        repository: Repository,
        missing: Sequence[tuple[int, int]],
        told: Mapping[tuple[int, int] | None, Mapping[str, Any]],
    ) -> None:
        if not missing:
            return
        github = self._broker.github
        names = {one.id: one.name for one in await told_by_github(self._broker, repository)}
        for key in missing:
            row, share_left = told.get(key), 1.0
            if row is None:
                row, share_left = await workflow_runs.attempt(github, repository, *key)
            if row and row.get("status") == "completed":
                await self._store(repository, key, row, names.get(row.get("workflow_id") or 0))
            if is_few(share_left):
                raise few_left("installation")

    async def _store(
        self,
        repository: Repository,
        key: tuple[int, int],
        row: Mapping[str, Any],
        workflow_name: str | None,
    ) -> None:
        """As the webhooks that would have told of it: `store` reads whether it is wanted."""
        about = {
            "repository": {**(row.get("repository") or {}), "id": repository.id},
            "installation": {"id": repository.installation_id},
        }
        jobs = await self._jobs(repository, key, row)
        for job in jobs.rows if jobs else ():
            body = {"action": job.get("status"), "workflow_job": job, **about}
            await self._store_webhook(f"job-{repository.id}-{job.get('id')}", "workflow_job", body)
        # The run's own `name` is its title where `run-name` is set.
        workflow = {"workflow": {"name": workflow_name}} if workflow_name else {}
        body = {"action": "completed", "workflow_run": row, **workflow, **about}
        self._taken += await self._store_webhook(_guid(repository, key), "workflow_run", body)
        if jobs and is_few(jobs.share_left):
            raise few_left("installation")

    async def _jobs(
        self, repository: Repository, key: tuple[int, int], row: Mapping[str, Any]
    ) -> Listed | None:
        """Of a run that may be sent; of others nobody needs them."""
        ended = _moment(row, "updated_at")
        age = self._broker.settings.recover_max_age
        if not repository.provider or ended is None or self._broker.now() - ended > age:
            return None
        return await workflow_runs.jobs(self._broker.github, repository, *key)

    async def _store_webhook(self, guid: str, event: str, body: Mapping[str, Any]) -> bool:
        try:
            webhook = from_api("orchestrator", guid, event, body)
        except WebhookRefused as error:
            _log.warning("webhook.lost", delivery=guid, reason=str(error))
            return False
        receipt = await store(self._broker, webhook)
        new = not receipt.duplicate and receipt.ignored is None
        if new:
            _log.info("webhook.recovered", delivery=guid, github_event=event)
        return new


@dataclass(frozen=True, slots=True)
class _Pass:
    """Since `began`; it goes on `after` this repository."""

    after: int
    began: datetime

    def __str__(self) -> str:
        return f"{self.after}@{self.began.isoformat()}"


def _resume(state: Coverage, now: datetime) -> _Pass:
    after, _, began = (state.cursor or "0").partition("@")
    return _Pass(int(after), datetime.fromisoformat(began)) if int(after) else _Pass(0, now)


def _ended_pass(state: Coverage, ended: _Pass, since: datetime) -> Coverage:
    """Nothing is missing until it began, but of the repositories that are noted as unread."""
    since = state.no_gap_since or since
    return replace(state, cursor=None, covered_to=ended.began, no_gap_since=since)


def _enabled_at(repository: Repository) -> datetime:
    return min(at for at in (provides_since(repository), repository.consumer_since) if at)


def _is_no_longer_shown(error: GitHubError) -> bool:
    """Nobody may read it now, or there is nothing."""
    if isinstance(error, InstallationGone | InstallationSuspended):
        return True
    shown = not isinstance(error, GitHubAnswered) or error.status not in _NO_LONGER_SHOWN
    return not shown and not _is_limit(error)


def _is_limit(error: GitHubError) -> bool:
    """Its installation has no requests left, or few."""
    if not isinstance(error, GitHubAnswered):
        return False
    limited = Answer(error.status, error.headers, b"").limited
    return limited or error.status in {200, 429} or "limit" in str(error)


def _is_silence(error: GitHubError) -> bool:
    """GitHub may be away, and not only this repository's list."""
    if isinstance(error, InstallationGone | InstallationSuspended):
        return False
    return not isinstance(error, GitHubAnswered) or error.status >= _SERVER_ERROR


def _guid(repository: Repository, key: tuple[int, int]) -> str:
    """Under which a run's end stands in the inbox."""
    return f"run-{repository.id}-{key[0]}-{key[1]}"


def _key(row: Mapping[str, Any]) -> tuple[int, int] | None:
    try:
        return fields.number(dict(row), "id"), fields.number(dict(row), "run_attempt")
    except MalformedEvent:
        return None


def _moment(row: Mapping[str, Any], name: str) -> datetime | None:
    try:
        return fields.moment(dict(row), name)
    except MalformedEvent:
        return None


def _ended(row: Mapping[str, Any], enabled_at: datetime) -> list[tuple[int, int]]:
    """The attempts of a run that ended after its repository was enabled."""
    key, created, moved = _key(row), _moment(row, "created_at"), _moment(row, "updated_at")
    if key is None or created is None or moved is None:
        return []
    run_id, attempt = key
    former = range(max(1, attempt - _MOST_ATTEMPTS), attempt) if created >= enabled_at else ()
    last = [key] if row.get("status") == "completed" and moved >= enabled_at else []
    return [*((run_id, number) for number in former), *last]
