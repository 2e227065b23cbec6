"""The engine's guarantees."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from zekt_bot.db.types import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what this version needs; what is there stays as it is."""
    _replays()
    _retention()
    _quotas()
    _missed_webhooks()
    _consent_of_then()
    _processes()
    _proof()
    op.add_column("services", sa.Column("former_alias", sa.Text(), nullable=True))
    _pace()


def _replays() -> None:
    op.create_table(
        "replays",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("requested_by", sa.String(length=200), nullable=False),
        sa.Column("by_provider", sa.Boolean(), nullable=False),
        sa.Column("service_id", sa.String(length=40), nullable=True),
        sa.Column("subscription_id", sa.String(length=40), nullable=True),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=True),
        sa.Column("after", sa.String(length=40), nullable=False),
        sa.Column("through", sa.String(length=40), nullable=False),
        sa.Column("made", sa.Integer(), nullable=False),
        sa.Column("left_out", sa.Integer(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replays")),
    )
    op.add_column(
        "subscriptions",
        sa.Column("provider_may_replay", sa.Boolean(), server_default=sa.true(), nullable=False),
    )
    for table in ("envelopes", "messages"):
        op.add_column(table, sa.Column("body_gone_at", UtcDateTime(), nullable=True))


def _missed_webhooks() -> None:
    recovered: sa.Column[bool] = sa.Column(
        "recovered", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("inbox", recovered)
    op.add_column("runs", sa.Column("recovered_at", UtcDateTime(), nullable=True))
    is_open = sa.text("state = 'open'")
    op.create_index(
        "ix_runs_open",
        "runs",
        ["repository_id", "received_at"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.create_table(
        "coverage",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("no_gap_since", UtcDateTime(), nullable=True),
        sa.Column("covered_to", UtcDateTime(), nullable=True),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("checked_at", UtcDateTime(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_coverage")),
    )


def _consent_of_then() -> None:
    for column in ("heard_since", "unread_since"):
        op.add_column("repositories", sa.Column(column, UtcDateTime(), nullable=True))
    op.add_column("subscriptions", sa.Column("resumed_at", UtcDateTime(), nullable=True))


def _processes() -> None:
    op.create_table(
        "processes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("host", sa.String(length=100), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("beat_at", UtcDateTime(), nullable=False),
        sa.Column("clock_offset_us", sa.BigInteger(), nullable=True),
        sa.Column("listening", sa.Boolean(), nullable=True),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
    )


def _proof() -> None:
    tried_for = sa.Column("tried_for_us", sa.BigInteger(), server_default="0", nullable=False)
    op.add_column("deliveries", tried_for)
    op.add_column("deliveries", sa.Column("prove_by", UtcDateTime(), nullable=True))
    for column in ("durable_after", "durable_sends"):
        op.add_column("subscriptions", sa.Column(column, sa.Integer(), nullable=True))
    op.add_column("subscriptions", sa.Column("ordered_by", sa.String(length=20), nullable=True))
    op.add_column("subscriptions", sa.Column("ordered_within", sa.Integer(), nullable=True))
    op.add_column("subscriptions", sa.Column("ordered_stops", sa.Boolean(), nullable=True))
    for name, table, columns, only in (
        (
            "ix_deliveries_target",
            "deliveries",
            ["target_repository_id", "dispatched_at"],
            "dispatched_at IS NOT NULL",
        ),
        (
            "ix_deliveries_retrying",
            "deliveries",
            ["target_repository_id", "updated_at"],
            "state = 'retrying'",
        ),
        (
            "ix_deliveries_sequence",
            "deliveries",
            ["sequence_key", "waits_for", "envelope", "id"],
            "sequence_key IS NOT NULL",
        ),
        ("ix_deliveries_prove_by", "deliveries", ["prove_by"], "prove_by IS NOT NULL"),
        (
            "ix_runs_caused_by",
            "runs",
            ["caused_by_delivery_id"],
            "caused_by_delivery_id IS NOT NULL",
        ),
        ("ix_runs_hops_created", "runs", ["repository_id", "created_at"], "hops > 0"),
        ("ix_runs_hops_completed", "runs", ["repository_id", "completed_at"], "hops > 0"),
    ):
        where = sa.text(only)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def _retention() -> None:
    op.add_column("subscriptions", sa.Column("over_at", UtcDateTime(), nullable=True))
    op.create_index("ix_subscriptions_over", "subscriptions", ["state", "over_at"])
    for name, table, column, condition in (
        ("ix_runs_blocked", "runs", "received_at", "blocked_reason IS NOT NULL"),
        ("ix_runs_reason", "runs", "received_at", "reason IS NOT NULL"),
        ("ix_envelopes_blocked", "envelopes", "created_at", "blocked_reason IS NOT NULL"),
        ("ix_envelopes_body", "envelopes", "created_at", "body_gone_at IS NULL"),
        ("ix_messages_body", "messages", "created_at", "body_gone_at IS NULL"),
        ("ix_deliveries_blocked", "deliveries", "updated_at", "blocked_reason IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)


def _quotas() -> None:
    op.create_table(
        "usage",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", "day", name=op.f("pk_usage")),
    )


def _pace() -> None:
    op.add_column("lanes", sa.Column("per_minute", sa.Float(), nullable=True))
    op.add_column("lanes", sa.Column("paced_at", UtcDateTime(), nullable=True))
