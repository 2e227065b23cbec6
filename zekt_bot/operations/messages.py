"""A run's messages: stored before the sender is answered, joined with the run's event later."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from zekt_bot.db import subscriptions
from zekt_bot.db.lists import messages
from zekt_bot.domain.access import Resource, decide
from zekt_bot.domain.ids import new_correlation_id, new_id
from zekt_bot.domain.messages import (
    MOST_BYTES,
    MOST_DEPTH,
    IncomingMessage,
    Redaction,
    nests_too_deep,
    unwelcome,
)
from zekt_bot.domain.names import check_event_type
from zekt_bot.domain.shield import read_envelope
from zekt_bot.errors import (
    InvalidInput,
    MessageRefused,
    MessageTooLarge,
    StorageUnavailable,
)
from zekt_bot.operations import arriving, guarding, refusals, storing
from zekt_bot.operations.storing import Kept, Storing

if TYPE_CHECKING:
    from zekt_bot.domain.access import WorkflowRun
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.messages import Accepted
    from zekt_bot.domain.subscriptions import Audience
    from zekt_bot.operations.arriving import Facts
    from zekt_bot.operations.broker import Broker
    from zekt_bot.operations.storing import Left

_TRIES = 8
_SUBSCRIPTION = re.compile(r"sub_[0-9a-z]{26}")


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored message. `event_id` is that of the envelope it will travel in.

    `consumers`: how many approved subscriptions get it, as things stand; `said`: when, or why none.
    `redactions`: the secrets that were taken out of it. `left_out`: how many more would, were it
    encrypted for them.
    """

    message_id: str
    event_id: str
    correlation_id: str
    duplicate: bool
    consumers: int
    said: str
    redactions: tuple[Redaction, ...] = ()
    left_out: int = 0


async def store(broker: Broker, principal: WorkflowRun, event_type: str, body: bytes) -> Stored:
    """Store a message of the run that calls; the same content again answers as before.

    `body` is JSON, at most 524,288 bytes, kept byte for byte unless a plugin changes it.

    Raises:
        InvalidInput: the event type or the body is not what a message has.
        MessageTooLarge: the body has more bytes.
        MessageRefused: a plugin refuses it, it nests too deep, or the run has sent too much.
        PluginFailed: a plugin could not decide about it.
        NotFound: the repository is not enabled as a provider, or its account is shut out.
        AccessDenied: the App is not installed there, or the workflow is not on the allow-list.
        Conflict: its service takes one message of each type, and the run has sent another.
        QuotaExceeded: its account has had its messages of this day; `retry_after` says when to
            send it again.
        StorageUnavailable: nothing was stored.
    """
    decide(principal, "message:store", Resource(run=principal.key))
    check_event_type(event_type)
    message = IncomingMessage(principal.key, event_type, body)
    facts = await _welcomed(broker, principal, message)
    # Only now: what nobody takes is not looked at.
    _check_body(body)
    message = replace(message, shield=_shield(body))
    for _ in range(_TRIES):
        accepted = await _accepted(broker, principal, message, facts)
        kept = await _keep(broker, principal, message, facts, accepted)
        if isinstance(kept, Kept):
            return await _stored(broker, kept, facts, message, accepted)
        if kept != "moved":
            raise await refusals.refuse(broker, principal, message, facts, kept)
        facts = await _welcomed(broker, principal, message)
    raise StorageUnavailable("What decides about it changed faster than it could be stored.")


async def _welcomed(broker: Broker, principal: WorkflowRun, message: IncomingMessage) -> Facts:
    """What decides about it, if its repository and workflow may send messages at all."""
    asked = arriving.Asked(principal.key, principal.workflow_path)
    facts = await broker.database.ask(arriving.facts, asked)
    if facts is None:
        raise refusals.unknown(principal.key)
    reason = unwelcome(facts.repository, facts.allowed)
    if reason:
        raise await refusals.refuse(broker, principal, message, facts, reason)
    return facts


async def _accepted(
    broker: Broker, principal: WorkflowRun, message: IncomingMessage, facts: Facts
) -> Accepted:
    """What plugins make of it, asked on the facts as they are now."""
    try:
        return await broker.plugins.accept_message(message, facts.policy)
    except MessageRefused as error:
        await refusals.note(broker, principal, message, facts, error.data)
        raise


async def _keep(
    broker: Broker,
    principal: WorkflowRun,
    message: IncomingMessage,
    facts: Facts,
    accepted: Accepted,
) -> Kept | Left:
    key, now = message.run, broker.now()
    keyring, message_id = broker.database.keyring, new_id("msg", now)
    correlation_id = new_correlation_id()
    row = Storing(
        key=key,
        run={"id": new_id("run", now), "correlation_id": correlation_id, "received_at": now},
        message={
            "id": message_id,
            "envelope_id": new_id("evt", now),
            "event_type": message.event_type,
            # As it came: so the same message sent again is known, whatever plugins made of it.
            "sha256": hashlib.sha256(message.body).hexdigest(),
            "size": len(accepted.body),
            "body": keyring.seal(("messages", "body", message_id), accepted.body),
            "created_at": now,
            "shield": message.shield if accepted.body is message.body else _shield(accepted.body),
            **guarding.sealed(keyring, message_id, accepted.redactions),
        },
        entry=await broker.entry(
            "run:message:stored",
            principal.actor,
            correlation_id=correlation_id,
            repository_id=key.repository_id,
            details=_details(message_id, accepted, message.shield),
        ),
        now=now,
        policy=facts.policy,
        quota=broker.settings.quota,
        over_quota=await _over_quota(broker, principal),
    )
    return await broker.database.write(storing.store, row)


def _shield(body: bytes) -> str | None:
    """The form of the Shield envelope that it is; raises InvalidInput if it is a broken one."""
    found = read_envelope(body)
    return None if found is None else found.form.name


async def _over_quota(broker: Broker, principal: WorkflowRun) -> Entry | None:
    """What the audit hears if there is no more room; None: there is room for any number."""
    if not (broker.settings.quota.messages or broker.settings.quota.bytes):
        return None
    return await broker.entry(
        "run:message:refused",
        principal.actor,
        repository_id=principal.key.repository_id,
        details={"reason": "quota"},
    )


def _details(message_id: str, accepted: Accepted, shield: str | None) -> dict[str, str | int]:
    details: dict[str, str | int] = {"bytes": len(accepted.body), "message": message_id}
    if accepted.redactions:
        details["redactions"] = len(accepted.redactions)
    return details | ({"shield": shield} if shield else {})


async def _stored(
    broker: Broker, kept: Kept, facts: Facts, message: IncomingMessage, accepted: Accepted
) -> Stored:
    redactions = accepted.redactions
    if kept.duplicate:  # what its service asks for may have changed since
        found = await broker.database.query(messages.one, kept.message_id)
        redactions = guarding.opened(broker.database.keyring, found) if found else ()
    can_read = await _readers(broker, facts, accepted.body) if message.shield else None
    told = arriving.expects(facts, kept.run, message.event_type, can_read)
    ids = kept.message_id, kept.event_id, kept.run.correlation_id
    return Stored(*ids, kept.duplicate, told.consumers, told.said, redactions, told.left_out)


async def _readers(broker: Broker, facts: Facts, body: bytes) -> list[Audience] | None:
    """Whom of its audience it is encrypted for; None: it is in clear, or of no service."""
    envelope = read_envelope(body)
    if envelope is None or facts.service is None:
        return None
    # Only what is an id: in another text there may be a NUL, which PostgreSQL does not take.
    ids = {each for each in envelope.consumers if _SUBSCRIPTION.fullmatch(each)}
    return await broker.database.query(subscriptions.audience, [facts.service.id], ids)


def _check_body(body: bytes) -> None:
    if len(body) > MOST_BYTES:
        raise MessageTooLarge(f"The message has {len(body)} bytes; at most {MOST_BYTES} are taken.")
    if nests_too_deep(body):
        raise MessageRefused(
            f"The message nests more than {MOST_DEPTH} arrays and objects: make it flatter."
        )
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The message is not JSON: {error.msg} (byte {error.pos}).") from None
