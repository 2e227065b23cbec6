"""Replay: sending again what was sent, blocked or dead. The original stays as it is."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from zekt_bot.db import replays
from zekt_bot.db import subscriptions as subscription_rows
from zekt_bot.db.replays import Selection
from zekt_bot.domain.access import Person, Resource, decide
from zekt_bot.domain.audit import Entry
from zekt_bot.domain.deliveries import FINAL
from zekt_bot.domain.ids import first_id, new_id
from zekt_bot.domain.replays import WHY, Wanted, check
from zekt_bot.errors import AccessDenied, Conflict, NotFound
from zekt_bot.operations import access, services
from zekt_bot.operations.subscription_moves import change
from zekt_bot.operations.subscription_parties import Ends, no_subscription, parties
from zekt_bot.operations.visibility import may_show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import RowMapping

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.replays import Hindrance
    from zekt_bot.domain.subscriptions import Subscription
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.subscription_parties import Named

_COPIED = (
    "envelope",
    "cause_kind",
    "cause_id",
    "target_repository_id",
    "channel",
    "lane",
    "service_id",
    "provider_account_id",
    "consumer_account_id",
)
_NOT_STORED = {"only", "by_consumer"}
_TRIES = 8
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Count:
    """How many deliveries a replay would send, by state, and leave out, by reason."""

    states: Counter[str]
    left_out: Counter[Hindrance]

    @property
    def total(self) -> int:
        """How many would be sent."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class _Step:
    """A page that was read, and for whom it is sent again."""

    which: Selection
    found: Sequence[RowMapping]
    actor: str
    now: datetime
    replay_id: str | None = None

    @property
    def sent(self) -> list[RowMapping]:
        """Those that nothing keeps from being sent again."""
        return [row for row in self.found if replays.hindered(row, self.which) is None]


def _successor(row: RowMapping, now: datetime) -> dict[str, Any]:
    """The new delivery. The policy is asked about it before its POST, as always."""
    return {
        **{name: row[name] for name in _COPIED},
        "id": new_id("dlv", now),
        "replay_no": row["replay_no"] + 1,
        "state": "pending",
        "attempts": 0,
        "failures": 0,
        "created_at": now,
        "updated_at": now,
        "due_at": now,
    }


async def replay(broker: Broker, principal: Principal, delivery_id: str) -> str:
    """Send one delivery again; answers the id of the new one.

    Raises:
        AccessDenied, NotFound, GitHubError, StorageUnavailable.
        Conflict: it is still being sent, its payload is gone, or its subscription is paused.
    """
    for _ in range(_TRIES):
        found = await broker.database.query(replays.newest, delivery_id)
        provider, consumer = await _may_replay(broker, principal, found)
        if found is None:
            raise NotFound(
                f"There is no delivery {delivery_id}: list them with `zekt deliveries list`."
            )
        which = Selection("", found["id"], only=found["id"])
        which = replace(which, by_provider=provider, by_consumer=consumer)
        _check_one(found, which, delivery_id)
        step = _Step(which, [found], principal.actor, broker.now())
        written = await _write(broker, step)
        if written:
            _log.info("delivery.replayed", delivery_id=written[0], original=delivery_id)
            return written[0]
    raise Conflict(f"{delivery_id} changed faster than it could be decided: try again.")


async def _may_replay(
    broker: Broker, principal: Principal, found: RowMapping | None
) -> tuple[bool, bool]:
    """Return whether the provider alone asks or the consumer, if they may; else AccessDenied."""
    resource = Resource()
    if found is not None:
        refuses = not found["provider_may"]
        ends = (found["source_repository_id"], found["target_repository_id"])
        resource = Resource(*ends, refuses_replay=refuses)
    managed = await may_show(broker, principal, "delivery:replay", resource)
    person = isinstance(principal, Person)
    return (
        person and resource.consumer not in managed,
        person and resource.provider not in managed,
    )


def _check_one(found: RowMapping, which: Selection, delivery_id: str) -> None:
    if found["state"] not in FINAL:
        again = "" if found["id"] == delivery_id else f" again, as {found['id']}"
        raise Conflict(f"{delivery_id} is being sent{again} ({found['state']}): wait for its end.")
    hindrance = replays.hindered(found, which)
    if hindrance:
        raise Conflict(f"{delivery_id} cannot be sent again: {WHY[hindrance]}.")


async def count(broker: Broker, principal: Principal, wanted: Wanted) -> Count:
    """What `replay_many` would do now; nothing is sent.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    which = await _selection(broker, principal, wanted)
    asks = _is_a_consumers(principal.actor, which)
    return await _count(broker, replace(which, by_consumer=asks))


def _is_a_consumers(actor: str, which: Selection) -> bool:
    """Whether a person asks for many in the consumer's name."""
    return actor.startswith("person:") and not which.by_provider


async def _count(broker: Broker, which: Selection) -> Count:
    told = Count(Counter(), Counter())
    for state, hindrance, many in await broker.database.query(replays.counts, which):
        if hindrance:
            told.left_out[hindrance] += many
        else:
            told.states[state] += many
    return told


async def replay_many(broker: Broker, principal: Principal, wanted: Wanted) -> dict[str, Any]:
    """Send again what fits and is there now; answers how many were `made` and `left_out`.

    It is written in pages. If this process dies in between, a worker goes on from the last page.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    which, now = await _selection(broker, principal, wanted), broker.now()
    row = {name: value for name, value in asdict(which).items() if name not in _NOT_STORED}
    row |= {
        "id": new_id("rpl", now),
        "requested_by": principal.actor,
        "requested_at": now,
        "made": 0,
        "left_out": 0,
    }
    entry = await broker.entry(
        "person:replay:requested",
        principal.actor,
        repository_id=which.repository_id,
        details={"replay": row["id"]},
    )
    await broker.database.write(replays.begin, (row, entry))
    return await _finish(broker, row["id"])


async def finish(broker: Broker, stopping: Callable[[], bool]) -> None:
    """Go on with what a process that died left unfinished, until `stopping`.

    Raises:
        StorageUnavailable.
    """
    for replay_id in await broker.database.query(replays.unfinished):
        while not stopping() and await _step(broker, replay_id) is None:
            pass


async def _finish(broker: Broker, replay_id: str) -> dict[str, Any]:
    while True:
        if done := await _step(broker, replay_id):
            return done


async def _step(broker: Broker, replay_id: str) -> dict[str, Any] | None:
    """One page more; what came of it all, when there was none left."""
    row = await broker.database.query(replays.one, replay_id)
    if row["finished_at"] is None:
        await _advance(broker, row)
        return None
    _log.info("replay.finished", replay=replay_id, made=row["made"])
    return {name: row[name] for name in ("id", "made", "left_out")}


async def _advance(broker: Broker, row: RowMapping) -> None:
    """One page; if its facts move meanwhile, or another process was faster, nothing."""
    names = [name for name in Selection.__dataclass_fields__ if name not in _NOT_STORED]
    which = Selection(**{name: row[name] for name in names})
    which = replace(which, by_consumer=_is_a_consumers(row["requested_by"], which))
    found = await broker.database.query(replays.page, which)
    # Later than the end of the selection, or this replay would find what it made itself.
    now = max(broker.now(), row["requested_at"] + timedelta(milliseconds=1))
    await _write(broker, _Step(which, found, row["requested_by"], now, row["id"]))


async def _write(broker: Broker, step: _Step) -> list[str]:
    """Ids of the new deliveries; none: the facts have moved, or there are none."""
    rows = [_successor(row, step.now) for row in step.sent]
    sent = zip(step.sent, rows, strict=True)
    entries = await broker.entries([_entry(*each, step.actor) for each in sent])
    page = replays.Page(
        which=step.which,
        read=[(row["id"], replays.hindered(row, step.which)) for row in step.found],
        rows=rows,
        entries=entries,
        pace=broker.settings.pace,
        now=step.now,
        replay_id=step.replay_id,
    )
    written = await broker.database.write(replays.add_page, page, weight=len(rows) or 1)
    return [row["id"] for row in rows] if written else []


def _entry(original: RowMapping, row: Mapping[str, Any], actor: str) -> Entry:
    return Entry(
        verb="person:delivery:replayed",
        actor=actor,
        correlation_id=original["correlation_id"],
        delivery_id=row["id"],
        account_id=row["consumer_account_id"],
        repository_id=row["target_repository_id"],
        details={"original": original["id"], "replay_no": row["replay_no"]},
    )


async def _selection(broker: Broker, principal: Principal, wanted: Wanted) -> Selection:
    """What people named, as ids, if they may have it sent again."""
    access.refuse_runs(principal, "delivery:replay")
    check(wanted)
    after = first_id("dlv", wanted.since) if wanted.since else ""
    through = new_id("dlv", broker.now())
    if wanted.until:
        through = min(through, first_id("dlv", wanted.until))
    which = Selection(after, through, state=wanted.state)
    if wanted.subscription is not None:
        return await _of_subscription(broker, principal, which, wanted.subscription)
    if wanted.service is not None and wanted.repository is not None:
        named_ends = Ends(wanted.service, wanted.repository)
        both = await parties(broker, principal, "subscription:read", named_ends)
        ends = [both.provider, both.consumer]
        managed = await access.manages(broker, principal, ends)
        resource = Resource(both.provider.id, both.consumer.id)
        decide(principal, "delivery:replay", resource, managed)
        theirs = isinstance(principal, Person) and both.consumer.id not in managed
        which = replace(which, repository_id=both.consumer.id, by_provider=theirs)
        return replace(which, service_id=both.service.id)
    if wanted.service is not None:
        service, _ = await services.owned(broker, principal, "delivery:replay", wanted.service)
        return replace(which, service_id=service.id, by_provider=isinstance(principal, Person))
    if wanted.repository is not None:
        named = await access.known(broker, principal, "delivery:replay", wanted.repository)
        return replace(which, repository_id=named.id)
    if isinstance(principal, Person):
        raise AccessDenied("You send again what is about a repository that you manage: name one.")
    return which


async def _of_subscription(
    broker: Broker, principal: Principal, which: Selection, subscription_id: str
) -> Selection:
    row = await broker.database.query(subscription_rows.listed, subscription_id)
    if row is None:
        raise no_subscription(subscription_id)
    ends = Resource(row["provider_id"], row["repository_id"])
    try:
        managed = await may_show(broker, principal, "subscription:read", ends)
    except AccessDenied:
        raise no_subscription(subscription_id) from None
    decide(
        principal,
        "delivery:replay",
        replace(ends, refuses_replay=not row["provider_may_replay"]),
        managed,
    )
    theirs = isinstance(principal, Person) and row["repository_id"] not in managed
    return replace(which, subscription_id=subscription_id, by_provider=theirs)


async def let_provider(
    broker: Broker,
    principal: Principal,
    named: Named,
    *,
    allowed: bool,
) -> Subscription:
    """Let the provider send again what it sent on this subscription, or do not; the
    consumer says so.

    Raises:
        AccessDenied, NotFound, InvalidInput, GitHubError, StorageUnavailable.
        Conflict: it is so already, or there is no such subscription.
    """
    found = await parties(broker, principal, "subscription:configure", named)
    found.alive()
    if found.row is not None and found.row["provider_may_replay"] is allowed:
        raise Conflict(f"{found.full_name} {'allows' if allowed else 'refuses'} it already.")
    verb = "replay_allowed" if allowed else "replay_refused"
    return await change(broker, principal, found, verb, {"provider_may_replay": allowed})
