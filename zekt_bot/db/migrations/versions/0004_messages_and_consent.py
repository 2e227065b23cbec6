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
