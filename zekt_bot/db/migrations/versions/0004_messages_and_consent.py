"""What messages and consent need to be shown."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from zekt_bot.db.types import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what this version needs; what is there stays as it is."""
    _consent()
    _guard()
    _api()


def _consent() -> None:
    op.add_column(
        "accounts",
        sa.Column("verified", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column("accounts", sa.Column("verified_asked_at", UtcDateTime(), nullable=True))
    for verb in ("installed", "suspended"):
        op.add_column("installations", sa.Column(f"{verb}_at", UtcDateTime(), nullable=True))
        op.add_column("installations", sa.Column(f"{verb}_by", sa.Text(), nullable=True))
        op.add_column("installations", sa.Column(f"{verb}_by_id", sa.BigInteger(), nullable=True))
    where = sa.text("purging_since IS NOT NULL")
    op.create_index(
        "ix_repositories_purging",
        "repositories",
        ["id"],
        sqlite_where=where,
        postgresql_where=where,
    )


def _guard() -> None:
    op.add_column(
        "services",
        sa.Column("secrets", sa.String(length=20), server_default="redact", nullable=False),
    )
    op.add_column("services", sa.Column("message_schema", sa.Text(), nullable=True))
    op.add_column(
        "services", sa.Column("shield", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("messages", sa.Column("redactions", sa.LargeBinary(), nullable=True))
    op.add_column("messages", sa.Column("shield", sa.String(length=10), nullable=True))
    op.create_table(
        "shield_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=120), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shield_keys")),
        sa.UniqueConstraint(
            "subject", "fingerprint", name=op.f("uq_shield_keys_subject_fingerprint")
        ),
    )
    op.create_index(op.f("ix_shield_keys_account_id"), "shield_keys", ["account_id"])


def _api() -> None:
    op.add_column(
        "services",
        sa.Column("one_per_type", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column("runs", sa.Column("reported", sa.String(length=20), nullable=True))
    op.create_table(
        "refused_messages",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("repository_id", sa.BigInteger(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("run_attempt", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("workflow_path", sa.Text(), nullable=True),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("first_at", UtcDateTime(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_messages")),
        sa.UniqueConstraint(
            "repository_id",
            "run_id",
            "run_attempt",
            "reason",
            name=op.f("uq_refused_messages_repository_id_run_id_run_attempt_reason"),
        ),
    )
    for name in ("account_id", "last_at"):
        op.create_index(op.f(f"ix_refused_messages_{name}"), "refused_messages", [name])
