"""All that sending a delivery needs, and whether it still stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select

from zekt_bot.db import services, subscriptions
from zekt_bot.db.kept import KeptFacts, allowed, repositories
from zekt_bot.db.prepared import Prepared
from zekt_bot.db.present import Present, present
from zekt_bot.db.rows import (
    DELIVERY,
    ENVELOPE,
    MESSAGE,
    RUN,
    delivery_of,
    envelope_of,
    labelled,
    message_of,
    run_of,
)
from zekt_bot.db.sql import one_of
from zekt_bot.db.tables import deliveries, envelopes, messages, runs
from zekt_bot.domain.deliveries import SENDABLE, DeliveryPolicyFacts, RunPolicyFacts
from zekt_bot.domain.pauses import holding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Table

    from zekt_bot.domain.catalog import Repository, Service
    from zekt_bot.domain.deliveries import Delivery
    from zekt_bot.domain.events import Envelope, Message, Run
    from zekt_bot.domain.pauses import Subject
    from zekt_bot.domain.subscriptions import Subscription


@dataclass(frozen=True, slots=True)
class Work:
    """All that sending a delivery needs. Bodies are still sealed. `in_line`: it is not its turn."""

    delivery: Delivery
    lease: str
    run: Run
    envelope: Envelope
    envelope_body: bytes
    message: Message | None
    message_body: bytes | None
    facts: DeliveryPolicyFacts
    failures: int
    tried_for: timedelta
    sequence_key: str | None
    on_hold: Subject | None
    in_line: bool
    settings: bytes | None


def _columns(table: Table, names: Iterable[str]) -> Prepared:
    return Prepared(select(*(table.c[name] for name in names)).where(one_of(table.c.id, "ids")))


_DELIVERIES = _columns(deliveries, DELIVERY)
_SEALED = (*ENVELOPE, "body")
_EVENTS = Prepared(
    select(*labelled("e_", envelopes, _SEALED), *labelled("r_", runs, RUN))
    .join(runs, runs.c.id == envelopes.c.run)
    .where(one_of(envelopes.c.id, "ids"))
)
_MESSAGES = _columns(messages, MESSAGE)


def load(connection: Connection, ids: Sequence[str], kept: KeptFacts | None = None) -> list[Work]:
    """Everything needed to send these deliveries, with facts as they are now.

    A fixed number of statements, whatever their number.
    """
    found = _DELIVERIES.run(connection, {"ids": ids}).mappings()
    events = _events(connection, {row["envelope"] for row in found})
    said = _by_id(connection, _MESSAGES, {each.message_id for each, _, _ in events.values()})
    facts = _Facts(connection, found, [run for _, _, run in events.values()], kept or KeptFacts())
    works = []
    for row in found:
        if row["envelope"] not in events:
            continue  # it was erased between two of these statements
        event, sealed, run = events[row["envelope"]]
        message = said.get(event.message_id or "")
        in_clear = message is not None and message["shield"] is None
        if (known := facts.of(row, run, event.event_type, in_clear=in_clear)) is None:
            continue
        ends = row["provider_account_id"], row["consumer_account_id"]
        held = known.subscription
        works.append(
            Work(
                delivery=delivery_of(row),
                lease=row["lease"] or "",
                run=run,
                envelope=event,
                envelope_body=sealed,
                message=message_of(message) if message else None,
                message_body=message["body"] if message else None,
                facts=known,
                failures=row["failures"],
                tried_for=timedelta(microseconds=row["tried_for_us"]),
                sequence_key=row["sequence_key"],
                on_hold=holding(ends, row["service_id"], row["cause_id"], facts.on_hold),
                in_line=row["waits_for"] == "sequence",
                settings=facts.settings.get(held.id) if held else None,
            )
        )
    return works


_CARRYING = Prepared(
    select(deliveries.c.id)
    .join(envelopes, envelopes.c.id == deliveries.c.envelope)
    .where(
        envelopes.c.message == bindparam("message"),
        deliveries.c.target_repository_id == bindparam("here"),
        deliveries.c.state != "blocked",
    )
    .order_by(deliveries.c.id.desc())
    .limit(1)
)


def carrying(connection: Connection, repository_id: int, message_id: str) -> Work | None:
    """The newest delivery of a message to this repository that was not blocked."""
    asked = {"message": message_id, "here": repository_id}
    ids = _CARRYING.run(connection, asked).scalars()
    return next(iter(load(connection, ids)), None) if ids else None


def _events(connection: Connection, ids: set[str]) -> dict[str, tuple[Envelope, bytes, Run]]:
    """Envelopes by their ids, each with its body and its run."""
    events = {}
    for row in _EVENTS.run(connection, {"ids": ids}).tuples():
        own = dict(zip(_SEALED, row, strict=False))
        run = run_of(dict(zip(RUN, row[len(_SEALED) :], strict=True)))
        events[own["id"]] = envelope_of(own), own["body"], run
    return events


def _by_id(
    connection: Connection, statement: Prepared, ids: set[str | None]
) -> dict[str, dict[str, Any]]:
    wanted = ids - {None}
    if not wanted:
        return {}
    return {row["id"]: row for row in statement.run(connection, {"ids": wanted}).mappings()}


class _Facts:
    """What decides about deliveries: each repository, service and subscription once."""

    def __init__(
        self,
        connection: Connection,
        rows: Sequence[Mapping[str, Any]],
        ran: Iterable[Run],
        kept: KeptFacts,
    ) -> None:
        workflow = {(r.key.repository_id, r.facts.workflow_path) for r in ran if r.facts}
        ends = {row["target_repository_id"] for row in rows} | {r.key.repository_id for r in ran}
        now = present(
            connection,
            repositories=ends,
            services={row["service_id"] for row in rows} - {None},
            subscriptions={row["cause_id"] for row in rows},
        )
        self.on_hold = now.on_hold
        self._repositories = known = repositories(connection, kept, now)
        self._allowed = allowed(connection, kept, now, known, workflow)
        self._services: dict[str, Service] = kept.of(
            "service",
            now.services,
            lambda ids: services.by_ids(connection, ids),
        )
        held: dict[str, tuple[Subscription, bytes | None]] = kept.of(
            "subscription",
            now.subscriptions,
            lambda ids: subscriptions.by_ids(connection, ids),
        )
        self._subscriptions = {key: value for key, (value, _) in held.items()}
        self.settings = {key: settings for key, (_, settings) in held.items()}

    def of(
        self, row: Mapping[str, Any], run: Run, event_type: str, *, in_clear: bool
    ) -> DeliveryPolicyFacts | None:
        """The facts of one delivery; None: an end of it is unknown."""
        provider = self._repositories.get(run.key.repository_id)
        consumer = self._repositories.get(row["target_repository_id"])
        if provider is None or consumer is None:
            return None
        path = run.facts.workflow_path if run.facts else ""
        permission = self._allowed.get((provider.id, path))
        made_between = row["provider_account_id"], row["consumer_account_id"]
        return DeliveryPolicyFacts(
            run=RunPolicyFacts(provider, permission, run.facts, run.from_fork),
            service=self._services.get(row["service_id"]),
            subscription=self._subscriptions.get(row["cause_id"]),
            provider=provider,
            consumer=consumer,
            event_type=event_type,
            changed_hands=made_between != (provider.account_id, consumer.account_id),
            withdrawn=row["state"] in SENDABLE
            and _withdrawn(provider, consumer, _made_at(row, run)),
            in_clear=in_clear,
        )


def _made_at(row: Mapping[str, Any], run: Run) -> datetime:
    """Of when a delivery is: of its run's end, however late that was handled; a replay is new."""
    ended = run.facts.completed_at if run.facts else None
    made: datetime = row["created_at"]
    return made if ended is None or row["replay_no"] else min(ended, made)


def _withdrawn(provider: Repository, consumer: Repository, made_at: datetime) -> bool:
    """Whether an end's yes is gone, or was since; `deliveries.hasten` asks it of the rows alone."""
    disabled = not (provider.provider and consumer.consumer)
    return disabled or provider.withdrew_since(made_at) or consumer.withdrew_since(made_at)


def reload(connection: Connection, work: Work) -> Work | None:
    """The same with facts as they are now; None: its lease is another's."""
    found = load(connection, [work.delivery.id])
    return found[0] if found and found[0].lease == work.lease else None


def stands(connection: Connection, works: Sequence[Work]) -> list[bool]:
    """Whether each is still leased, nothing is on hold, and no fact has moved since it was read."""
    read = [work.facts for work in works]
    now = present(
        connection,
        repositories={end.id for facts in read for end in (facts.provider, facts.consumer)},
        services={facts.service.id for facts in read if facts.service},
        subscriptions={facts.subscription.id for facts in read if facts.subscription},
        deliveries=[work.delivery.id for work in works],
    )
    return [
        not now.on_hold
        and now.leases.get(work.delivery.id) == work.lease
        and _unmoved(work.facts, now)
        for work in works
    ]


def _unmoved(facts: DeliveryPolicyFacts, now: Present) -> bool:
    service, held = facts.service, facts.subscription
    ends = facts.provider, facts.consumer
    return (
        all(now.repositories.get(end.id, _GONE)[0] == end.version for end in ends)
        and (service is None or now.services.get(service.id, _GONE)[0] == service.version)
        and (held is None or now.subscriptions.get(held.id) == held.version)
    )


_GONE = (None, None)
