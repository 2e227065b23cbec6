"""Leased deliveries with all that sending them needs, and whether that still stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, select

from zekt_bot.db import pauses
from zekt_bot.db.rows import (
    ALLOWED,
    DELIVERY,
    ENVELOPE,
    MESSAGE,
    OWNER,
    RUN,
    SERVICE,
    SUBSCRIPTION,
    RepositoryRows,
    allowed_of,
    delivery_of,
    envelope_of,
    labelled,
    message_of,
    run_of,
    service_of,
    subscription_of,
)
from zekt_bot.db.tables import (
    accounts,
    allowed_workflows,
    deliveries,
    envelopes,
    messages,
    runs,
    services,
    subscriptions,
)
from zekt_bot.domain.deliveries import DeliveryPolicyFacts, RunPolicyFacts
from zekt_bot.domain.pauses import holding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, RowMapping, Select

    from zekt_bot.domain.deliveries import Delivery
    from zekt_bot.domain.events import Envelope, Message, Run
    from zekt_bot.domain.pauses import Subject


@dataclass(frozen=True, slots=True)
class Work:
    """All that sending a delivery needs, read in one statement. Bodies are still sealed."""

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
    settings: bytes | None


_PROVIDER, _CONSUMER = RepositoryRows("p_"), RepositoryRows("c_")


def _work(*unread: str) -> Select[Any]:
    """Everything about deliveries, but the columns `unread` of envelopes and messages."""
    events = deliveries.join(envelopes, envelopes.c.id == deliveries.c.envelope).join(
        runs, runs.c.id == envelopes.c.run
    )
    source = _PROVIDER.joined(events, _PROVIDER.table.c.id == runs.c.repository_id)
    target = _CONSUMER.table.c.id == deliveries.c.target_repository_id
    joined = (
        _CONSUMER.joined(source, target)
        .outerjoin(messages, messages.c.id == envelopes.c.message)
        .outerjoin(services, services.c.id == deliveries.c.service_id)
        .outerjoin(accounts, accounts.c.id == services.c.account_id)
        .outerjoin(
            subscriptions,
            and_(
                deliveries.c.cause_kind == "subscription",
                subscriptions.c.id == deliveries.c.cause_id,
            ),
        )
        .outerjoin(
            allowed_workflows,
            and_(
                allowed_workflows.c.repository_id == runs.c.repository_id,
                allowed_workflows.c.path == runs.c.workflow_path,
            ),
        )
    )
    return select(
        *labelled("d_", deliveries, DELIVERY),
        *labelled("e_", envelopes, tuple(name for name in ENVELOPE if name not in unread)),
        *labelled("r_", runs, RUN),
        *_PROVIDER.columns,
        *_CONSUMER.columns,
        *labelled("m_", messages, tuple(name for name in MESSAGE if name not in unread)),
        *labelled("s_", services, SERVICE),
        *labelled("o_", accounts, OWNER),
        *labelled("u_", subscriptions, (*SUBSCRIPTION, "settings")),
        *labelled("a_", allowed_workflows, ALLOWED),
    ).select_from(joined)


_WHOLE, _FACTS = _work(), _work("body")


def load(connection: Connection, ids: Sequence[str]) -> list[Work]:
    """Everything needed to send these deliveries, with facts as they are now."""
    found = connection.execute(_WHOLE.where(deliveries.c.id.in_(ids))).mappings().all()
    active = pauses.active(connection)
    return [_work_of(row, active, row["e_body"], row["m_body"]) for row in found]


def _versions() -> Select[Any]:
    """What tells whether the facts of one delivery have moved: few columns, asked at each POST."""
    provider, consumer = _PROVIDER.table, _CONSUMER.table
    joined = (
        deliveries.join(envelopes, envelopes.c.id == deliveries.c.envelope)
        .join(runs, runs.c.id == envelopes.c.run)
        .join(provider, provider.c.id == runs.c.repository_id)
        .join(consumer, consumer.c.id == deliveries.c.target_repository_id)
        .outerjoin(services, services.c.id == deliveries.c.service_id)
        .outerjoin(subscriptions, subscriptions.c.id == deliveries.c.cause_id)
    )
    versions_ = (each.c.version for each in (provider, consumer, services, subscriptions))
    own = (
        deliveries.c.id == bindparam("delivery"),
        deliveries.c.lease == bindparam("held"),
        ~pauses.any_active(),
    )
    return select(*versions_).select_from(joined).where(*own)


VERSIONS = _versions()


def stands(connection: Connection, work: Work) -> bool:
    """Whether it is still leased, nothing is on hold, and no fact has moved since it was read.

    A decision is a pure function of its facts: as long as they stand, it does.
    """
    names = {"delivery": work.delivery.id, "held": work.lease}
    found = connection.execute(VERSIONS, names).first()
    facts = work.facts
    read = (facts.provider, facts.consumer, facts.service, facts.subscription)
    return found is not None and tuple(found) == tuple(each and each.version for each in read)


def reload(connection: Connection, work: Work) -> Work | None:
    """The same with facts as they are now; None: its lease is another's."""
    own = deliveries.c.id == work.delivery.id, deliveries.c.lease == work.lease
    row = connection.execute(_FACTS.where(*own)).mappings().first()
    if row is None:
        return None
    return _work_of(row, pauses.active(connection), work.envelope_body, work.message_body)


def _work_of(
    row: RowMapping, active: frozenset[Subject], envelope_body: bytes, message_body: bytes | None
) -> Work:
    ends = row["d_provider_account_id"], row["d_consumer_account_id"]
    run, envelope = run_of(row, "r_"), envelope_of(row, "e_")
    provider, consumer = _PROVIDER.read(row), _CONSUMER.read(row)
    return Work(
        delivery=delivery_of(row, "d_"),
        lease=row["d_lease"] or "",
        run=run,
        envelope=envelope,
        envelope_body=envelope_body,
        message=message_of(row, "m_") if row["m_id"] else None,
        message_body=message_body,
        facts=DeliveryPolicyFacts(
            run=RunPolicyFacts(provider, allowed_of(row, "a_"), run.facts, run.from_fork),
            service=service_of(row, "s_", row["o_login"]),
            subscription=subscription_of(row, "u_"),
            provider=provider,
            consumer=consumer,
            event_type=envelope.event_type,
            changed_hands=ends != (provider.account_id, consumer.account_id),
        ),
        failures=row["d_failures"],
        tried_for=timedelta(microseconds=row["d_tried_for_us"]),
        sequence_key=row["d_sequence_key"],
        on_hold=holding(ends, row["d_service_id"], row["d_cause_id"], active),
        settings=row["u_settings"],
    )
