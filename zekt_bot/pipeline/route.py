"""Which step an inbox row belongs to."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import structlog

from zekt_bot.db import inbox, leases
from zekt_bot.domain.audit import SYSTEM
from zekt_bot.domain.webhooks import GitHubEvent
from zekt_bot.errors import (
    DecryptionFailed,
    GitHubError,
    MalformedEvent,
    StorageUnavailable,
    ZektError,
)
from zekt_bot.github.octo import EventRouter
from zekt_bot.operations import installations
from zekt_bot.operations.installations import News
from zekt_bot.pipeline.collect import collect_job, collect_run
from zekt_bot.pipeline.pages import MOST_FAILURES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

    from zekt_bot.domain.audit import Entry
    from zekt_bot.operations.broker import Broker

    Step = Callable[[Broker, News], Awaitable[str | None]]  # answers a run's correlation id

_AFTER_FAILURE = timedelta(seconds=30)
_LONGEST_DELAY = timedelta(minutes=10)
_MOST_ASKED = 450  # what others must answer or open outlasts an outage of three days
# What waits for the database alone gains nothing by giving up: it would have to write that too.
_ASK_NOBODY = {collect_run, collect_job}
_log = structlog.get_logger()


def build_router() -> EventRouter[Step]:
    """The broker's own steps, an event each."""
    router: EventRouter[Step] = EventRouter()
    router.add(collect_run, "workflow_run")
    router.add(collect_job, "workflow_job")
    router.add(installations.installation_changed, "installation")
    router.add(installations.repositories_changed, "installation_repositories")
    router.add(installations.repository_changed, "repository")
    router.add(installations.account_renamed, "installation_target", action="renamed")
    return router


async def route(
    broker: Broker, router: EventRouter[Step], row: Mapping[str, Any], timeout: timedelta
) -> None:
    """Run the step of a leased inbox row; what cannot be done is tried again or set aside.

    `timeout` bounds a step that asks GitHub, so that it ends before the lease does; plugins hear
    only of what was done within it.

    Raises:
        StorageUnavailable: nothing was written; the lease runs out and the row is due again.
    """
    began, began_at = broker.clock.monotonic(), broker.now()
    try:
        raw = broker.database.keyring.open(("inbox", "raw", row["id"]), row["raw"])
        news = _news(row, raw)
        steps = [] if row["observed"] else router.match(news.event, news.body)
        correlation_id = None
        if not steps:
            await broker.database.write(inbox.done, (news.inbox_id, broker.now()))
        elif steps[0] in _ASK_NOBODY:
            correlation_id = await steps[0](broker, news)
        else:
            async with asyncio.timeout(timeout.total_seconds()):
                correlation_id = await steps[0](broker, news)
        duration = broker.clock.monotonic() - began
        _log.info(
            "inbox.routed",
            **_named(row),
            correlation_id=correlation_id,
            duration_ms=round(duration * 1000, 1),
        )
        if row["run_id"] is not None:
            key = (row["repository_id"], row["run_id"], row["run_attempt"])
            broker.traces.tell("route", key, began_at, broker.now(), event=row["event"])
        # What took longer another worker may have done too, and told.
        if broker.plugins.hears(news.event) and broker.now() < began_at + timeout:
            _let_hear(broker, row, news, raw)
    except StorageUnavailable:
        raise
    except MalformedEvent as error:
        await _fail(broker, row, str(error), again=False)
    except (GitHubError, TimeoutError, DecryptionFailed) as error:
        # GitHub may answer later, another process may have the right key.
        reason = str(error) or "GitHub took too long."
        await _fail(broker, row, reason, again=row["failures"] < _MOST_ASKED)
    except Exception as error:
        if not isinstance(error, ZektError):
            _log.exception("inbox.step_failed", inbox_id=row["id"], event_name=row["event"])
        reason = str(error) if isinstance(error, ZektError) else type(error).__name__
        await _fail(broker, row, reason, again=row["failures"] + 1 < MOST_FAILURES)


def _let_hear(broker: Broker, row: Mapping[str, Any], news: News, raw: bytes) -> None:
    """The row is done: plugins may hear of it, and cannot undo it."""
    event = GitHubEvent(
        name=news.event,
        action=news.action,
        delivery=row["guid"],
        installation_id=row["installation_id"],
        repository_id=row["repository_id"],
        received_at=news.received_at,
        payload=news.body,
    )
    broker.plugins.heard_github(event, raw, broker.github)


def _news(row: Mapping[str, Any], raw: bytes) -> News:
    return News(
        inbox_id=row["id"],
        guid=row["guid"],
        event=row["event"],
        action=row["action"],
        body=orjson.loads(raw),
        received_at=row["received_at"],
        recovered=row["recovered"],
    )


async def _fail(broker: Broker, row: Mapping[str, Any], reason: str, *, again: bool) -> None:
    delay = min(_AFTER_FAILURE * 2 ** min(row["failures"], 10), _LONGEST_DELAY)
    again_at = broker.now() + delay if again else None
    entry = None if again else await _aside(broker, row)
    failure = leases.Failure("inbox", row["id"], row["lease"], reason[:500], again_at, entry)
    await broker.database.write(leases.fail, failure)
    _log.warning(
        "inbox.retrying" if again else "inbox.set_aside",
        **_named(row),
        reason=reason[:200],
        failures=row["failures"] + 1,
    )


async def _aside(broker: Broker, row: Mapping[str, Any]) -> Entry:
    return await broker.entry(
        "zekt:webhook:set_aside",
        SYSTEM,
        account_id=row["account_id"],
        repository_id=row["repository_id"],
        details={"inbox": row["id"], "event": row["event"]},
    )


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a webhook in a log line: GitHub's delivery id, and what it is about."""
    return {
        "inbox_id": row["id"],
        "delivery": row["guid"],
        "github_event": row["event"],
        "action": row["action"],
    }
