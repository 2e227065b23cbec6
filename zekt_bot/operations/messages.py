"""A run's messages: stored before the sender is answered, joined with the run's event later."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import orjson

from zekt_bot.db import audit, mirror, runs, services, tables, usage, versions
from zekt_bot.db.lists import messages
from zekt_bot.domain.access import Resource, decide
from zekt_bot.domain.catalog import check_event_type
from zekt_bot.domain.ids import new_correlation_id, new_id
from zekt_bot.domain.lists import MessageFilter, Page, check_page
from zekt_bot.domain.messages import MOST_BYTES, IncomingMessage, MessagePolicy, Redaction
from zekt_bot.domain.quotas import Quota, Used, seconds_left
from zekt_bot.errors import Conflict, InvalidInput, NotFound, QuotaExceeded
from zekt_bot.operations import guarding
from zekt_bot.operations.visibility import all_shown, may_list, may_show, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from zekt_bot.domain.access import Principal
    from zekt_bot.domain.audit import Entry
    from zekt_bot.domain.catalog import Repository
    from zekt_bot.domain.events import RunKey
    from zekt_bot.domain.messages import Accepted
    from zekt_bot.operations.broker import Broker

_Refused = Literal["not_enabled", "moved", "over_quota"]
_TRIES = 8
FIRST_PAGE = Page()
EVERYTHING = MessageFilter()


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored message. `event_id` is that of the envelope it will travel in.

    `redactions`: the secrets that were taken out of it.
    """

    message_id: str
    event_id: str
    correlation_id: str
    duplicate: bool
    redactions: tuple[Redaction, ...] = ()


@dataclass(frozen=True, slots=True)
class _Storing:
    key: RunKey
    run: Mapping[str, Any]
    message: Mapping[str, Any]
    entry: Entry
    now: datetime
    policy: MessagePolicy
    quota: Quota
    refusal: Entry

    @property
    def counted(self) -> Used:
        """What it takes of its account's quota."""
        return Used(messages=1, bytes=self.message["size"])


async def store(
    broker: Broker, principal: Principal, key: RunKey, event_type: str, body: bytes
) -> Stored:
    """Store a message of the run `key`; the same content again answers as before.

    `body` is JSON, at most 524,288 bytes, kept byte for byte unless a plugin changes it.

    Raises:
        AccessDenied: this principal does not speak for that run.
        InvalidInput: the event type or the body is not what a message has.
        MessageRefused: a plugin refuses it.
        PluginFailed: a plugin could not decide about it.
        NotFound: the repository is not enabled as a provider, or its account is shut out.
        QuotaExceeded: its account has had its messages of this day; `retry_after` says when to
            send it again.
        StorageUnavailable: nothing was stored.
    """
    decide(principal, "message:store", Resource(run=key))
    check_event_type(event_type)
    _check_body(body)
    for _ in range(_TRIES):
        stored = await _try(broker, principal, IncomingMessage(key, event_type, body))
        if isinstance(stored, Stored):
            return stored
        if stored == "over_quota":
            raise QuotaExceeded(
                "This account has sent as many messages, or bytes of them, as this server takes of "
                "one account in a day (UTC): send it again tomorrow.",
                retry_after=seconds_left(broker.now()),
            )
        if stored == "not_enabled":
            break
    else:
        raise Conflict("What decides about the message changed faster than it could be stored.")
    raise NotFound(
        f"Repository {key.repository_id} is not enabled as a provider: "
        "run `zekt repositories enable OWNER/REPO`."
    )


async def _try(broker: Broker, principal: Principal, message: IncomingMessage) -> Stored | _Refused:
    """Ask the plugins about the facts as they are now, and store what they make of it."""
    key, now = message.run, broker.now()
    policy = await broker.database.query(_policy, key)
    if policy is None:
        return "not_enabled"
    accepted = await guarding.accept(broker, principal, message, policy)
    keyring, message_id = broker.database.keyring, new_id("msg", now)
    correlation_id = new_correlation_id()
    storing = _Storing(
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
            **guarding.sealed(keyring, message_id, accepted.redactions),
        },
        entry=await broker.entry(
            "run:message:stored",
            principal.actor,
            correlation_id=correlation_id,
            repository_id=key.repository_id,
            details=_details(message_id, accepted),
        ),
        now=now,
        policy=policy,
        quota=broker.settings.quota,
        refusal=await broker.entry(
            "run:message:refused",
            principal.actor,
            repository_id=key.repository_id,
            details={"reason": "quota"},
        ),
    )
    stored = await broker.database.write(_store, storing)
    if not isinstance(stored, Stored):
        return stored
    redactions = accepted.redactions
    if stored.duplicate:  # what its service asks for may have changed since
        found = await broker.database.query(messages.one, stored.message_id)
        redactions = guarding.opened(keyring, found) if found else ()
    return replace(stored, redactions=redactions)


def _details(message_id: str, accepted: Accepted) -> dict[str, str | int]:
    details: dict[str, str | int] = {"bytes": len(accepted.body), "message": message_id}
    return details | ({"redactions": len(accepted.redactions)} if accepted.redactions else {})


def _policy(connection: Connection, key: RunKey) -> MessagePolicy | None:
    """What plugins decide about a message on; None: its repository provides nothing."""
    repository = mirror.repositories_by_id(connection, {key.repository_id}).get(key.repository_id)
    if repository is None or not _provides(repository):
        return None
    run = runs.by_key(connection, key)
    workflow = (key.repository_id, run.facts.workflow_path) if run and run.facts else None
    found = services.of_workflows(connection, [workflow] if workflow else [])
    return MessagePolicy(repository, next(iter(found.values()), None))


def _provides(repository: Repository) -> bool:
    return repository.provider and not repository.blocked


def _check_body(body: bytes) -> None:
    if len(body) > MOST_BYTES:
        raise InvalidInput(f"The message has {len(body)} bytes; at most {MOST_BYTES} are taken.")
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"The message is not JSON: {error.msg} (byte {error.pos}).") from None


def _store(connection: Connection, rows: Sequence[_Storing]) -> list[Stored | _Refused]:
    known = mirror.repositories_by_id(connection, {row.key.repository_id for row in rows})
    answers: dict[int, Stored | _Refused] = {}
    # Every unit locks runs in the order of their keys.
    for number, row in sorted(enumerate(rows), key=lambda pair: pair[1].key):
        repository = known.get(row.key.repository_id)
        if repository is None or not _provides(repository):
            answers[number] = "not_enabled"
        elif not _stands(connection, row.policy):
            answers[number] = "moved"
        else:
            answers[number] = _within_quota(connection, row, repository.account_id)
    return [answers[number] for number in range(len(rows))]


def _stands(connection: Connection, policy: MessagePolicy) -> bool:
    """Whether what the plugins decided on has not changed since."""
    service = {policy.service.id: policy.service.version} if policy.service else {}
    of_repository = {policy.repository.id: policy.repository.version}
    return versions.hold(connection, tables.repositories, of_repository) and versions.hold(
        connection, tables.services, service
    )


def _within_quota(
    connection: Connection, row: _Storing, account_id: int
) -> Stored | Literal["over_quota"]:
    """Store it, counted in this transaction; what is there already takes nothing."""
    if not (row.quota.messages or row.quota.bytes):
        return _store_one(connection, row, account_id)
    if usage.hold(connection, account_id, row.now).leaves(row.quota, row.counted):
        stored = _store_one(connection, row, account_id)
        if not stored.duplicate:
            usage.add(connection, account_id, row.now, row.counted)
        return stored
    former = _former(connection, row)
    if former is None and usage.tell(connection, account_id, row.now):
        audit.record(connection, replace(row.refusal, account_id=account_id))
    return former or "over_quota"


def _former(connection: Connection, row: _Storing) -> Stored | None:
    """The same message, if it was stored before."""
    run = runs.by_key(connection, row.key)
    if run is None:
        return None
    content = (row.message["event_type"], row.message["sha256"])
    former = runs.message_like(connection, run.id, *content)
    if former is None:
        return None
    return Stored(former.id, former.envelope_id, run.correlation_id, duplicate=True)


def _store_one(connection: Connection, row: _Storing, account_id: int) -> Stored:
    run = runs.meet(connection, {row.key: {**row.run, "account_id": account_id}})[row.key]
    if not runs.add_message(connection, {**row.message, "run": run.id}):
        former = _former(connection, row)
        assert former is not None, "the unique key refused it, so it is there"  # noqa: S101
        return former
    # A run that still gathers keeps its time; one that was sent sends this after it; one that was
    # set aside is tried anew, for this message was promised its way.
    if run.state == "set_aside":
        state = "gathering" if run.aggregated_at is None else "done"
        again = {"state": state, "due_at": row.now, "failures": 0, "reason": None}
        runs.change(connection, {run.id: again})
        audit.wake(connection, "runs")
    elif run.state == "done" and run.blocked_reason is None:
        runs.change(connection, {run.id: {"due_at": row.now}})
        audit.wake(connection, "runs")
    else:
        runs.change(connection, {run.id: {}})
    audit.record(connection, replace(row.entry, correlation_id=run.correlation_id))
    return Stored(row.message["id"], row.message["envelope_id"], run.correlation_id, False)


async def list_messages(
    broker: Broker,
    principal: Principal,
    page: Page = FIRST_PAGE,
    wanted: MessageFilter = EVERYTHING,
) -> list[dict[str, Any]]:
    """Messages without their bodies, newest first.

    Raises:
        AccessDenied, InvalidInput, NotFound, GitHubError, StorageUnavailable.
    """
    await may_list(broker, principal, "message:read", wanted.repository)
    check_page(page, "msg")
    return all_shown(await broker.database.query(messages.page, page, wanted))


async def show_message(
    broker: Broker, principal: Principal, message_id: str, *, body: bool = False
) -> dict[str, Any]:
    """One message, by its id or that of its event; with its `body`, a text of JSON, if asked for.

    Raises:
        AccessDenied, NotFound, GitHubError, StorageUnavailable, DecryptionFailed.
    """
    found = await broker.database.query(messages.one, message_id)
    provider = found["repository_id"] if found else None
    await may_show(broker, principal, "message:read", Resource(provider=provider))
    if found is None:
        raise NotFound(f"There is no message {message_id}: see `zekt messages list`.")
    keyring = broker.database.keyring
    told = [asdict(each) for each in guarding.opened(keyring, found)]
    if not body:
        return {**shown(found), "redactions": told}
    if found["body_gone_at"] is not None:
        raise Conflict(f"The body of {found['id']} was deleted by age (ZEKT_PAYLOAD_DAYS).")
    opened = keyring.open(("messages", "body", found["id"]), found["body"])
    return {**shown(found), "redactions": told, "body": opened.decode()}
