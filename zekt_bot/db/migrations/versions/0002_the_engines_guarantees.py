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
