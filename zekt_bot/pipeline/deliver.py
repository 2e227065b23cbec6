"""Policy again, render, POST with no transaction open, record."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import structlog

from zekt_bot.db import deliveries
from zekt_bot.db.deliveries import Change, Move, Parking
from zekt_bot.db.lanes import Limit
from zekt_bot.domain.audit import SYSTEM
from zekt_bot.domain.deliveries import (
    GIVE_UP_AFTER,
    Attempt,
    DispatchRequest,
    Outcome,
)
from zekt_bot.domain.lanes import lane_of
from zekt_bot.domain.subscriptions import REPOSITORY_DISPATCH
from zekt_bot.errors import (
    DecryptionFailed,
    OutcomeUnknown,
    PluginFailed,
    StorageUnavailable,
    Unsendable,
)
from zekt_bot.pipeline.doubt import doubt
from zekt_bot.pipeline.letters import open_letter
from zekt_bot.pipeline.permit import Permit, Refusal, ask
from zekt_bot.pipeline.render import render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from zekt_bot.db.outgoing import Work
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.deliveries import OutcomeKind
    from zekt_bot.domain.events import Blocked
    from zekt_bot.domain.pauses import Subject
    from zekt_bot.operations.broker import Broker

_MOST_FAILURES = 5
_AFTER_FAILURE = timedelta(seconds=30)
_AFTER_OUTAGE = timedelta(seconds=1)
_SHARE = 0.8  # of what is left of the lease may be spent on sending
_TOO_LITTLE = timedelta(milliseconds=200)
_APP_RETRY = timedelta(minutes=1)
_log = structlog.get_logger()


class _Sent(NamedTuple):
    """`withheld`: what the policy has against another POST."""

    outcome: Outcome
    body: bytes
    duration: float
    withheld: Blocked | None = None


async def deliver(broker: Broker, work: Work, lease_ends_at: datetime) -> Outcome | None:
    """Send one leased delivery and record what became of it; None: it was not sent.

    Sending ends before the lease does; too little time left, and the lease is given back.
    """
    lane = lane_of(work.facts.subscription, work.facts.consumer)
    if lane != work.delivery.lane and work.facts.consumer.consented:
        await _move(broker, work, lane)
        return None
    request = await ask(broker, work) or await _prepare(broker, work)
    if isinstance(request, Refusal):
        await _refuse(broker, work, request)
        return None
    now = broker.now()
    timeout = (lease_ends_at - now) * _SHARE
    if timeout < _TOO_LITTLE:
        await broker.database.write(deliveries.release, (work.delivery.id, work.lease, now))
        return None
    permit = Permit(broker, work)
    sent = await _send(broker, permit, request, timeout)
    if permit.refusal and not permit.granted:
        await _refuse(broker, permit.work, permit.refusal)
        return None
    broker.vitals.figures.attempts[sent.outcome.kind] += 1
    await _record(broker, permit.work, sent, lease_ends_at)
    if sent.outcome.kind == "blocked" and not sent.withheld:
        await doubt(broker, permit.work)
    return sent.outcome


async def _prepare(broker: Broker, work: Work) -> DispatchRequest | Refusal:
    consumer = work.facts.consumer
    try:
        return DispatchRequest(
            delivery_id=work.delivery.id,
            event_type=work.envelope.event_type,
            body=render(await open_letter(broker, work)),
            repository_id=consumer.id,
            repository=consumer.full_name,
            installation_id=consumer.installation_id or 0,
            attempt=work.delivery.attempts + 1,
            settings=_settings(broker, work),
        )
    except Exception as error:
        return Refusal(error=error)


def _settings(broker: Broker, work: Work) -> dict[str, str]:
    """The subscription's settings for its channel."""
    if work.settings is None:
        return {}
    place = ("subscriptions", "settings", work.delivery.cause_id)
    settings: dict[str, str] = orjson.loads(broker.database.keyring.open(place, work.settings))
    return settings


async def _send(
    broker: Broker, permit: Permit, request: DispatchRequest, timeout: timedelta
) -> _Sent:
    ends, began = (request.installation_id, request.repository_id), broker.clock.monotonic()
    client = broker.github.installation_api(*ends, permit)
    channel = permit.work.delivery.channel
    outcome = await broker.plugins.send(channel, request, client, timeout)
    withheld = permit.refusal.blocked if permit.refusal else None
    if permit.refusal:  # after a first POST; what the channel makes of it does not count
        kind: OutcomeKind = "blocked" if withheld else "retry"
        why = withheld.reason if withheld else "undecided"
        outcome = Outcome(kind, error=f"{why}: it was not sent once more.")
    return _Sent(outcome, request.body, broker.clock.monotonic() - began, withheld)


async def _record(broker: Broker, work: Work, sent: _Sent, lease_ends_at: datetime) -> None:
    now = broker.now()
    broker.traces.tell(
        "dispatch",
        work.run.key,
        now - timedelta(seconds=sent.duration),
        now,
        delivery=work.delivery.id,
        correlation=work.run.correlation_id,
        outcome=sent.outcome.kind,
    )
    change = await _change(broker, work, sent, now)
    own = await _written(broker, change, lease_ends_at)
    _log.info(
        "delivery.attempted",
        delivery_id=work.delivery.id,
        correlation_id=work.run.correlation_id,
        event_type=work.envelope.event_type,
        attempt=work.delivery.attempts + 1,
        outcome=sent.outcome.kind,
        status=sent.outcome.status,
        state=change.to if own else "lease_lost",
        duration_ms=round(sent.duration * 1000, 1),
    )


async def _written(broker: Broker, change: Change, lease_ends_at: datetime) -> bool:
    """What GitHub has done cannot be asked again: written as soon as the database takes it."""
    while True:
        try:
            return await broker.database.write(deliveries.record, change)
        except OutcomeUnknown:
            raise
        except StorageUnavailable:
            again_at = broker.now() + _AFTER_OUTAGE
            if again_at >= lease_ends_at:
                raise
            await broker.clock.sleep_until(again_at)


async def _change(broker: Broker, work: Work, sent: _Sent, now: datetime) -> Change:
    outcome = sent.outcome
    if outcome.kind == "dispatched":
        facts: dict[str, Any] = {"to": "dispatched", "prove_by": _prove_by(work, now)}
    else:
        facts = {"reason": _reason(outcome)} | await _not_dispatched(broker, work, sent, now)
    closed_until = outcome.not_before if outcome.closes_lane else None
    if closed_until or outcome.at_most_a_minute:
        told = closed_until, outcome.at_most_a_minute
        facts["limit"] = Limit(work.delivery.lane, now, *told)
    if outcome.renamed_to:
        facts["renamed"] = (work.facts.consumer.id, outcome.renamed_to)
    entry = await _entry(broker, work, str(facts["to"]), _audited(sent))
    return Change(
        delivery_id=work.delivery.id,
        lease=work.lease,
        lane=work.delivery.lane,
        sequence_key=work.sequence_key,
        now=now,
        entry=entry,
        attempt=_attempt(sent),
        seal_error=_sealing(broker, work, outcome.error),
        **facts,
    )


async def _not_dispatched(broker: Broker, work: Work, sent: _Sent, now: datetime) -> dict[str, Any]:
    outcome = sent.outcome
    if outcome.kind == "blocked":
        if sent.withheld is None:
            return {"to": "blocked", "blocked_reason": "no_access"}
        reasons = {"blocked_reason": sent.withheld.reason, "reason": None}
        return {"to": "blocked", **reasons, "decided_on": work.facts}
    if outcome.kind == "dead":
        return {"to": "dead"}
    if outcome.kind == "app_paused":
        again = {"waits_for": "app", "due_at": now + _APP_RETRY}
        return {"to": work.delivery.state, **again, "sent": False}
    return await _retry(broker, work, sent, now)


def _prove_by(work: Work, now: datetime) -> datetime | None:
    """Until when its consumer's run must have been heard of; None: nobody waits for that."""
    held = work.facts.subscription
    if held is None or held.durable is None or work.delivery.channel != REPOSITORY_DISPATCH:
        return None
    return now + held.durable.after


async def _retry(broker: Broker, work: Work, sent: _Sent, now: datetime) -> dict[str, Any]:
    """When to try again: GitHub's own time first, else what the plugins advise.

    Only its own tries and the waits between them bring it nearer to its end: not a closed lane,
    whose waits are its installation's, nor a pause, nor an App without a key.
    """
    outcome, spent = sent.outcome, timedelta(seconds=sent.duration)
    if outcome.closes_lane and outcome.not_before is not None:
        return {"to": "retrying", "due_at": max(now, outcome.not_before), "tried_for": spent}
    age = work.tried_for + spent
    if outcome.not_before is not None and age < GIVE_UP_AFTER:
        delay: timedelta | None = max(timedelta(), outcome.not_before - now)
    else:
        attempt = Attempt(work.delivery, n=work.delivery.attempts + 1, outcome=outcome, age=age)
        delay = await broker.plugins.retry_delay(attempt)
    if delay is None:
        return {"to": "dead", "tried_for": spent}
    return {"to": "retrying", "due_at": now + delay, "tried_for": spent + delay}


def _sealing(broker: Broker, work: Work, error: str | None) -> Callable[[int], bytes | None]:
    """The error goes with its own attempt alone, whose number the transaction finds."""

    def seal(n: int) -> bytes | None:
        place = ("attempts", "error", f"{work.delivery.id}:{n}")
        return broker.database.keyring.seal(place, error.encode()) if error else None

    return seal


def _attempt(sent: _Sent) -> dict[str, Any]:
    return {
        "outcome": sent.outcome.kind,
        "status": sent.outcome.status,
        "request_id": sent.outcome.request_id,
        "duration_us": int(sent.duration * 1_000_000),
        "sha256": hashlib.sha256(sent.body).hexdigest(),
        "length": len(sent.body),
    }


def _reason(outcome: Outcome) -> str:
    """A word for lists; what GitHub said stands sealed in the attempt."""
    if outcome.kind == "blocked" and outcome.error:
        return outcome.error.partition(":")[0][:64]
    return f"github_{outcome.status}" if outcome.status else "no_answer"


def _audited(sent: _Sent) -> dict[str, str | int]:
    details: dict[str, str | int] = {"outcome": sent.outcome.kind}
    if sent.outcome.status:
        details["status"] = sent.outcome.status
    return details | sent.withheld._asdict() if sent.withheld else details


async def _entry(broker: Broker, work: Work, to: str, details: Mapping[str, str | int]) -> Entry:
    return await broker.entry(
        f"zekt:delivery:{to}",
        SYSTEM,
        correlation_id=work.run.correlation_id,
        delivery_id=work.delivery.id,
        account_id=work.facts.consumer.account_id,
        repository_id=work.facts.consumer.id,
        details=details,
    )


async def _move(broker: Broker, work: Work, lane: str) -> None:
    """The App was installed anew since the match: its new installation paces what is left."""
    held = (work.delivery.id, work.lease, work.delivery.lane, lane, broker.settings.pace)
    await broker.database.write(deliveries.move, Move(*held, broker.now()))
    _log.info("delivery.moved", **_named(work), lane=lane)


async def _refuse(broker: Broker, work: Work, refusal: Refusal) -> None:
    """Not sent: the lane gets its token back."""
    if isinstance(refusal.error, StorageUnavailable):
        raise refusal.error
    if refusal.on_hold or refusal.in_line:
        await _park(broker, work, None if refusal.in_line else refusal.on_hold)
    elif refusal.error:
        await _undecided(broker, work, refusal.error)
    elif refusal.blocked:
        await _block(broker, work, refusal.blocked)
    else:
        _log.info("delivery.taken_over", **_named(work))


async def _park(broker: Broker, work: Work, subject: Subject | None) -> None:
    """Nothing is decided while it is on hold, or None, in line; its lane gets the token back."""
    held = (work.delivery.id, work.lease, work.delivery.lane, subject, broker.now())
    await broker.database.write(deliveries.park, Parking(*held))
    if subject:
        _log.info("delivery.on_hold", **_named(work), subject=subject)
    else:
        _log.info("delivery.in_line", **_named(work))


async def _block(broker: Broker, work: Work, blocked: Blocked) -> None:
    change = Change(
        delivery_id=work.delivery.id,
        lease=work.lease,
        lane=work.delivery.lane,
        sequence_key=work.sequence_key,
        to="blocked",
        now=broker.now(),
        entry=await _entry(broker, work, "blocked", blocked._asdict()),
        blocked_reason=blocked.reason,
        sent=False,
        decided_on=work.facts,
    )
    if await broker.database.write(deliveries.record, change):
        _log.info("delivery.blocked", **_named(work), **blocked._asdict())


async def _undecided(broker: Broker, work: Work, error: Exception) -> None:
    """No decision, no POST: tried again, and dead when a plugin fails for the fifth time.

    What can never be sent is dead at once.

    A body that does not open is tried for as long as any delivery: another process may have the
    right key.
    """
    now, sealed = broker.now(), isinstance(error, DecryptionFailed)
    tried_enough = work.failures + 1 >= _MOST_FAILURES
    dead = work.tried_for >= GIVE_UP_AFTER if sealed else tried_enough
    reason = "decryption_failed" if sealed else "plugin_failed"
    if isinstance(error, Unsendable):
        dead, reason = True, error.reason
    if not isinstance(error, PluginFailed | DecryptionFailed | Unsendable):
        _log.error("delivery.decision_failed", delivery_id=work.delivery.id, exc_info=error)
    change = Change(
        delivery_id=work.delivery.id,
        lease=work.lease,
        lane=work.delivery.lane,
        sequence_key=work.sequence_key,
        to="dead" if dead else work.delivery.state,
        now=now,
        entry=await _entry(broker, work, "dead" if dead else "undecided", {"reason": reason}),
        due_at=None if dead else now + _AFTER_FAILURE,
        reason=reason,
        sent=False,
        failed=True,
        tried_for=_AFTER_FAILURE,
        decided_on=work.facts,
    )
    if await broker.database.write(deliveries.record, change):
        _log.warning("delivery.undecided", **_named(work), error=str(error), dead=dead)


def _named(work: Work) -> dict[str, str]:
    """What tells a delivery in a log line."""
    return {"delivery_id": work.delivery.id, "correlation_id": work.run.correlation_id}
