"""What is sent: deliveries, their attempts, and the lanes that pace them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from zekt_bot.db.tables.base import ID, id_column, metadata, partial
from zekt_bot.db.types import UtcDateTime

lanes = Table(
    "lanes",
    metadata,
    Column("name", String(120), primary_key=True),
    Column("tokens", Float, nullable=False),
    Column("refilled_at", UtcDateTime, nullable=False),
    Column("open_at", UtcDateTime),
    Column("next_ready_at", UtcDateTime),
    Column("per_minute", Float),
    Column("paced_at", UtcDateTime),
)
partial("ix_lanes_ready", lanes.c.next_ready_at.is_not(None), lanes.c.next_ready_at)

deliveries = Table(
    "deliveries",
    metadata,
    id_column(),
    Column("envelope", ID, ForeignKey("envelopes.id"), nullable=False),
    Column("cause_kind", String(30), nullable=False),
    Column("cause_id", ID, nullable=False),
    Column("replay_no", Integer, nullable=False),
    Column("target_repository_id", BigInteger, nullable=False),
    Column("channel", String(64), nullable=False),
    Column("lane", String(120), nullable=False),
    # While it has its place in an ordered subscription; NULL: the next may go.
    Column("sequence_key", Text),
    Column("service_id", ID),
    Column("provider_account_id", BigInteger, nullable=False),
    Column("consumer_account_id", BigInteger, nullable=False),
    Column("state", String(20), nullable=False),
    Column("waits_for", String(20)),
    Column("blocked_reason", String(64)),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    # How long it was being sent and waited for its own retries: what GIVE_UP_AFTER bounds.
    Column("tried_for_us", BigInteger, nullable=False, server_default="0"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("dispatched_at", UtcDateTime),
    # Until when a run must have confirmed what a durable subscription was sent.
    Column("prove_by", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime),
    Column("lease", String(40)),
    UniqueConstraint("envelope", "cause_kind", "cause_id", "replay_no"),
)
partial(
    "ix_deliveries_due", deliveries.c.due_at.is_not(None), deliveries.c.lane, deliveries.c.due_at
)
partial(
    "ix_deliveries_leased", deliveries.c.lease.is_not(None), deliveries.c.lane, deliveries.c.due_at
)
partial("ix_deliveries_waits_for", deliveries.c.waits_for.is_not(None), deliveries.c.waits_for)
partial(
    "ix_deliveries_waiting",
    deliveries.c.waits_for.is_not(None),
    deliveries.c.lane,
    deliveries.c.due_at,
)
partial(
    "ix_deliveries_sequence",
    deliveries.c.sequence_key.is_not(None),
    deliveries.c.sequence_key,
    deliveries.c.waits_for,
    deliveries.c.envelope,
    deliveries.c.id,
)
partial("ix_deliveries_prove_by", deliveries.c.prove_by.is_not(None), deliveries.c.prove_by)
partial(
    "ix_deliveries_target",
    deliveries.c.dispatched_at.is_not(None),
    deliveries.c.target_repository_id,
    deliveries.c.dispatched_at,
)
partial(
    "ix_deliveries_retrying",
    text("state = 'retrying'"),
    deliveries.c.target_repository_id,
    deliveries.c.updated_at,
)
Index("ix_deliveries_provider", deliveries.c.provider_account_id, deliveries.c.created_at)
Index("ix_deliveries_consumer", deliveries.c.consumer_account_id, deliveries.c.created_at)

attempts = Table(
    "attempts",
    metadata,
    Column("delivery", ID, ForeignKey("deliveries.id"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("status", Integer),
    Column("request_id", String(120)),
    Column("duration_us", BigInteger, nullable=False),
    Column("error", LargeBinary),
    Column("sha256", String(64), nullable=False),
    Column("length", Integer, nullable=False),
)

# Deliveries that are sent again: those after the id `after` until `through` that fit the rest.
replays = Table(
    "replays",
    metadata,
    id_column(),
    Column("requested_by", String(200), nullable=False),
    Column("by_provider", Boolean, nullable=False),
    Column("service_id", ID),
    Column("subscription_id", ID),
    Column("repository_id", BigInteger),
    Column("state", String(20)),
    Column("after", ID, nullable=False),
    Column("through", ID, nullable=False),
    Column("made", Integer, nullable=False),
    Column("left_out", Integer, nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
)

# What deletion by age looks for.
partial("ix_deliveries_blocked", deliveries.c.blocked_reason.is_not(None), deliveries.c.updated_at)
